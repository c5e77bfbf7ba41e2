"""A notice as the request or the mail that a target takes. Pure.

The formats are those of the servers' documentation: ntfy (publish), Gotify (`POST /message`), Slack
(incoming webhooks), the Matrix client-server API v3 (`PUT …/send/m.room.message/TXN`), RFC 5322,
RFC 3834 (`Auto-Submitted`).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from email.message import EmailMessage
from email.utils import format_datetime
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote, urlencode

from msgspec import Struct

from uno.model.notification_targets import Protocol, Target
from uno.notify.policy import HOLD, STEADY, NoticeKind

if TYPE_CHECKING:
    from datetime import datetime

    from uno.notify.policy import Notice

SIGNATURE_HEADER = "X-Uno-Signature"
_TITLES = {
    NoticeKind.LOST: "{text}",
    NoticeKind.FOUND: "{subject} works again",
    NoticeKind.UNSTABLE: "{subject} comes and goes",
    NoticeKind.EVENT: "{text}",
    NoticeKind.TEST: "Test of notifications",
}
# Priority of ntfy (1 to 5) and Gotify (0 to 10), tag of ntfy.
_URGENCY = {
    NoticeKind.LOST: (4, 8, "red_circle"),
    NoticeKind.FOUND: (3, 4, "green_circle"),
    NoticeKind.UNSTABLE: (4, 6, "warning"),
    NoticeKind.EVENT: (3, 5, "information_source"),
    NoticeKind.TEST: (3, 4, "bell"),
}


class Post(Struct, frozen=True, kw_only=True, tag="post"):
    """An HTTP request: `path` with its query, and the body."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Mail(Struct, frozen=True, kw_only=True, tag="mail"):
    """A mail, as bytes in the form of RFC 5322 with the envelope's addresses."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes


Message: TypeAlias = Post | Mail


class Sent(Struct, frozen=True, kw_only=True):
    """What a message has beside its notice.

    `id` is the same at each attempt, so that a server can drop repetitions. `began` is the time at
    which it began, `now` that of the notice, both of the sender's clock. `page` is the address of a
    status page, empty if there is none. `steady` is for how many seconds something that comes and
    goes has to stay as it is before the next notice.
    """

    id: str
    uvn: str
    cell: str
    began: datetime
    now: datetime
    page: str = ""
    steady: float = STEADY * HOLD


def message(target: Target, notice: Notice, sent: Sent) -> Message:
    """Return what is sent to `target`."""
    match target.protocol:
        case Protocol.WEBHOOK:
            return _webhook(target, notice, sent)
        case Protocol.NTFY:
            return _ntfy(target, notice, sent)
        case Protocol.GOTIFY:
            return _gotify(target, notice, sent)
        case Protocol.SLACK:
            return _json(target, {"text": f"*{title(notice, sent)}*\n{text(notice, sent)}"})
        case Protocol.MATRIX:
            return _matrix(target, notice, sent)
        case Protocol.SMTP:
            return _mail(target, notice, sent)


def title(notice: Notice, sent: Sent) -> str:
    """Return the notice in one line, without line breaks: it becomes a header."""
    condition = notice.condition
    words = _TITLES[notice.kind].format(subject=condition.subject, text=condition.text)
    return _one_line(f"{sent.uvn}: {words}")


def text(notice: Notice, sent: Sent) -> str:
    """Return the notice in full: since when, what to do, where to read more, who sends it."""
    condition = notice.condition
    lines = [f"{_one_line(condition.text)}." if condition.text else ""]
    if notice.kind is not NoticeKind.TEST:
        lines.append(f"Since {sent.began:%Y-%m-%d %H:%M:%S %Z}.")
    if condition.remedy and notice.kind in {NoticeKind.LOST, NoticeKind.UNSTABLE}:
        lines.append(f"To do: {_one_line(condition.remedy)}.")
    if notice.kind is NoticeKind.UNSTABLE:
        steady = f"{sent.steady:.0f} s" if sent.steady < 60 else f"{sent.steady / 60:.3g} minutes"
        lines.append(f"Nothing more is sent until it has been steady for {steady}.")
    lines += [sent.page, f"Sent by {sent.cell}."]
    return "\n".join(line for line in lines if line)


def _webhook(target: Target, notice: Notice, sent: Sent) -> Post:
    condition = notice.condition
    post = _json(
        target,
        {
            "id": sent.id,
            "uvn": sent.uvn,
            "kind": str(notice.kind),
            "condition": condition.id,
            "subject": condition.subject,
            "title": title(notice, sent),
            "text": condition.text,
            "remedy": condition.remedy,
            "since": sent.began.isoformat(),
            "time": sent.now.isoformat(),
            "sender": sent.cell,
            "url": sent.page,
        },
    )
    if not target.secret:
        return post
    mac = hmac.new(target.secret.encode(), post.body, hashlib.sha256).hexdigest()
    signed = {**post.headers, SIGNATURE_HEADER: f"sha256={mac}"}
    return Post(method=post.method, path=post.path, headers=signed, body=post.body)


def _ntfy(target: Target, notice: Notice, sent: Sent) -> Post:
    priority, _, tag = _URGENCY[notice.kind]
    # ntfy reads RFC 2047 in headers; as JSON to the root, text of any script needs no encoding.
    topic = target.path.strip("/").rpartition("/")
    document = {
        "topic": topic[2],
        "title": title(notice, sent),
        "message": text(notice, sent),
        "priority": priority,
        "tags": [tag],
    }
    if sent.page:
        document["click"] = sent.page
    root = Target(
        protocol=target.protocol,
        host=target.host,
        port=target.port,
        path=f"/{topic[0]}",
        query=target.query,
        token=target.token,
        user=target.user,
        password=target.password,
    )
    return _json(root, document, token=target.token)


def _gotify(target: Target, notice: Notice, sent: Sent) -> Post:
    document = {
        "title": title(notice, sent),
        "message": text(notice, sent),
        "priority": _URGENCY[notice.kind][1],
    }
    post = _json(target, document)
    path = f"{target.path.rstrip('/')}/message"
    headers = {**post.headers, "X-Gotify-Key": target.token}
    return Post(method="POST", path=path, headers=headers, body=post.body)


def _matrix(target: Target, notice: Notice, sent: Sent) -> Post:
    room = quote(target.path.strip("/"), safe="")
    path = f"/_matrix/client/v3/rooms/{room}/send/m.room.message/{quote(sent.id, safe='')}"
    document = {"msgtype": "m.text", "body": f"{title(notice, sent)}\n{text(notice, sent)}"}
    post = _json(target, document, token=target.token)
    return Post(method="PUT", path=path, headers=post.headers, body=post.body)


def _json(target: Target, document: object, *, token: str = "") -> Post:
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "uno"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    path = quote(target.path, safe="/:@!$&'()*+,;=~-._")
    query = urlencode(target.query)
    body = json.dumps(document, ensure_ascii=False).encode()
    return Post(
        method="POST", path=f"{path}?{query}" if query else path, headers=headers, body=body
    )


def _mail(target: Target, notice: Notice, sent: Sent) -> Mail:
    mail = EmailMessage()
    mail["From"] = target.sender
    mail["To"] = ", ".join(target.recipients)
    mail["Subject"] = title(notice, sent)
    mail["Date"] = format_datetime(sent.now)
    domain = target.sender.rpartition("@")[2]
    mail["Message-ID"] = f"<{sent.id}@{domain}>"
    thread = f"<{thread_of(notice)}.{sent.uvn}@{domain}>"
    mail["In-Reply-To"] = thread
    mail["References"] = thread
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text(notice, sent))
    return Mail(sender=target.sender, recipients=target.recipients, content=mail.as_bytes())


def thread_of(notice: Notice) -> str:
    """Return a token that all notices of one condition share."""
    return hashlib.sha256(notice.condition.id.encode()).hexdigest()[:16]


def _one_line(words: str) -> str:
    return " ".join(words.split())
