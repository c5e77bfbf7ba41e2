"""Where notifications go: one URL for each target, whose scheme names the protocol.

| URL | protocol |
|---|---|
| `https://…` | webhook: JSON, signed with the HMAC key of the query's `secret` |
| `ntfy+https://HOST/TOPIC` | ntfy, with `token` of the query as bearer token |
| `gotify+https://HOST/?token=…` | Gotify |
| `slack+https://…` | an incoming webhook of Slack, Mattermost, Discord (`…/slack`) |
| `matrix+https://HOST/ROOM?token=…` | Matrix, client-server API v3 |
| `smtp://USER:PASSWORD@HOST:587/?from=…&to=…` | mail with STARTTLS (RFC 3207); `smtps`: RFC 8314 |

`http` in place of `https`, and `?tls=off` of `smtp`, are for servers inside the UVN.
"""

from __future__ import annotations

from enum import StrEnum
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct

from uno.model.net import address
from uno.model.syntax import Fault, email_fault, host_fault, quoted


class Protocol(StrEnum):
    """How a target is sent to; the values are the prefixes of its URL."""

    WEBHOOK = "webhook"
    NTFY = "ntfy"
    GOTIFY = "gotify"
    SLACK = "slack"
    MATRIX = "matrix"
    SMTP = "smtp"


class Target(Struct, frozen=True, kw_only=True):
    """A place that notifications go to.

    `secure`: TLS from the first byte; `starttls`: TLS after a command. `path` begins with a slash;
    `query` has what the protocol does not take for itself. `token` and `secret` are empty where the
    URL has none.
    """

    protocol: Protocol
    host: str
    port: int
    secure: bool = True
    starttls: bool = False
    path: str = "/"
    query: tuple[tuple[str, str], ...] = ()
    user: str = ""
    password: str = ""
    token: str = ""
    secret: str = ""
    sender: str = ""
    recipients: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Target({self})"

    def __str__(self) -> str:
        """The target for people: protocol, host and port, without what may be a secret."""
        return f"{self.protocol} at {self.host}:{self.port}"


class Notifying(Struct, frozen=True, kw_only=True):
    """What a cell that sends notifications has to know; a secret of its package.

    `to` and `heartbeat` are URLs with their secrets. `senders` are the ids of all cells that may
    send, in order of their turns. `hold` is in seconds.
    """

    to: tuple[str, ...] = ()
    heartbeat: str | None = None
    senders: tuple[int, ...] = ()
    hold: int = 60


_HINT = "write https://…, ntfy+https://…, gotify+https://…, slack+https://…, matrix+https://… or smtp://…"
_PORTS = {"http": 80, "https": 443, "smtp": 587, "smtps": 465}
_LENGTH = 2000
_CUT = "…"


def target_fault(url: str) -> Fault | None:
    """Return what is wrong with the URL of a target, None if it is well formed."""
    found = _read(url)
    return found if isinstance(found, Fault) else None


def target(url: str) -> Target:
    """Read the URL of a target. Raises `ValueError` where `target_fault` finds a fault."""
    if fault := target_fault(url):
        raise ValueError(fault.what)
    found = _read(url)
    assert isinstance(found, Target)
    return found


def web_address_fault(url: str) -> Fault | None:
    """Return what is wrong with an address that is fetched, None for http or https with a host."""
    found = target_fault(url)
    if found is None and not url.startswith(("http://", "https://")):
        return Fault(f"{_shown(url)} is not a web address", "write https://HOST/PATH")
    return found


def redacted(url: str) -> str:
    """Return a URL for people: without user, password, query, and all but the start of the path.

    Tokens of incoming webhooks and topics of ntfy are in the path, and whoever has one can send.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return _CUT
    place = f"[{host}]" if ":" in host else host
    shown = f"{parts.scheme}://{place}{f':{port}' if port else ''}"
    return f"{shown}/{_CUT}" if parts.path.strip("/") or parts.query else shown


def _read(url: str) -> Target | Fault:
    if _CUT in url:
        return Fault(f"{_shown(url)} is what is shown of a target", "write its whole URL")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    if len(url) > _LENGTH or not url.isprintable() or " " in url or not parts.scheme:
        return Fault(f"{_shown(url)} is not a URL", _HINT)
    name, plus, transport = parts.scheme.partition("+")
    if not plus:
        name, transport = {"http": "webhook", "https": "webhook"}.get(name, "smtp"), name
    if (
        name not in list(Protocol)
        or transport not in _PORTS
        or (name == "smtp") != (transport in {"smtp", "smtps"})
    ):
        return Fault(f"{_shown(url)}: no notifications go to {quoted(parts.scheme)}", _HINT)
    if fault := _host_fault(url, host):
        return fault
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    found = Target(
        protocol=Protocol(name),
        host=host,
        port=port or _PORTS[transport],
        secure=transport in {"https", "smtps"},
        starttls=transport == "smtp" and query.pop("tls", "") != "off",
        path=unquote(parts.path) or "/",
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        token=query.pop("token", ""),
        secret=query.pop("secret", ""),
        sender=query.pop("from", ""),
        recipients=tuple(filter(None, query.pop("to", "").split(","))),
        query=tuple(query.items()),
    )
    return _incomplete(url, found) or found


def _host_fault(url: str, host: str) -> Fault | None:
    if not host:
        return Fault(f"{_shown(url)} names no host", _HINT)
    try:
        # The sender's own mail server may be at 127.0.0.1.
        address(host)
    except ValueError:
        return host_fault(host)
    return None


def _incomplete(url: str, found: Target) -> Fault | None:
    shown = _shown(url)
    match found.protocol:
        case Protocol.SMTP:
            for key, addresses in (("from", (found.sender,)), ("to", found.recipients or ("",))):
                for each in addresses:
                    if not each:
                        return Fault(f"{shown} has no {key!r}", f"add {key}=name@example.org")
                    if fault := email_fault(each):
                        return Fault(f"{shown}: {fault.what}", fault.hint)
        case Protocol.GOTIFY | Protocol.MATRIX if not found.token:
            return Fault(f"{shown} has no token", "add ?token=… with the token of an application")
        case Protocol.NTFY | Protocol.MATRIX | Protocol.SLACK if not found.path.strip("/"):
            what = "room" if found.protocol is Protocol.MATRIX else "topic or path"
            return Fault(f"{shown} has no {what}", f"add the {what} after the host")
        case _:
            pass
    return None


def _shown(url: str) -> str:
    return quoted(redacted(url))
