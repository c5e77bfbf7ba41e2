"""Sends one message to one target, over HTTP or SMTP. Blocking.

Sources: RFC 9110, RFC 5321, RFC 3207 (STARTTLS), RFC 8314 (TLS from the start). Certificates are
verified with the authorities of the host.
"""

from __future__ import annotations

import base64
import http.client
import smtplib
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

from uno.diagnostics import TransientFailure
from uno.notify.errands import TIMEOUT
from uno.notify.notice_formats import Mail, Post

if TYPE_CHECKING:
    from uno.model.notification_targets import Target
    from uno.notify.notice_formats import Message

# Bytes of an answer that are read.
_ANSWER = 4096


def deliver(target: Target, message: Message) -> None:
    """Send `message` to `target`. Raises `TransientFailure`, which names no secret of the target.

    A redirection is a failure: the notice would go where its owner has not declared.
    """
    try:
        if isinstance(message, Mail):
            _mail(target, message)
        else:
            _post(target, message)
    except (OSError, http.client.HTTPException, smtplib.SMTPException, ValueError) as error:
        raise TransientFailure(f"{target}: {_reason(error)}", _HINT) from error


def fetch(target: Target) -> None:
    """Get a heartbeat's address. Raises `TransientFailure`."""
    query = "&".join(f"{key}={value}" for key, value in target.query)
    path = f"{target.path}?{query}" if query else target.path
    deliver(target, Post(method="GET", path=path, headers={"User-Agent": "uno"}, body=b""))


_HINT = "check the target under settings.notify"


def _post(target: Target, post: Post) -> None:
    connection: http.client.HTTPConnection
    if target.secure:
        connection = http.client.HTTPSConnection(
            target.host, target.port, timeout=TIMEOUT, context=ssl.create_default_context()
        )
    else:
        connection = http.client.HTTPConnection(target.host, target.port, timeout=TIMEOUT)
    headers = dict(post.headers)
    if target.user and "Authorization" not in headers:
        login = base64.b64encode(f"{target.user}:{target.password}".encode()).decode("ascii")
        headers["Authorization"] = f"Basic {login}"
    try:
        connection.request(post.method, post.path, post.body or None, headers)
        answer = connection.getresponse()
        answer.read(_ANSWER)
    finally:
        connection.close()
    if not 200 <= answer.status < 300:
        raise TransientFailure(
            f"{target}: it answered {answer.status} {http.client.responses.get(answer.status, '')}",
            _HINT,
        )


def _mail(target: Target, mail: Mail) -> None:
    server: smtplib.SMTP
    if target.secure:
        server = smtplib.SMTP_SSL(
            target.host, target.port, timeout=TIMEOUT, context=ssl.create_default_context()
        )
    else:
        server = smtplib.SMTP(target.host, target.port, timeout=TIMEOUT)
    try:
        if target.starttls:
            server.starttls(context=ssl.create_default_context())
        if target.user:
            server.login(target.user, target.password)
        refused = server.sendmail(mail.sender, mail.recipients, mail.content)
        if refused:
            raise TransientFailure(f"{target}: it refused {', '.join(sorted(refused))}", _HINT)
    finally:
        with suppress(OSError, smtplib.SMTPException):
            server.quit()


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return f"it answered {error.smtp_code}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__ if not str(error) else str(error).splitlines()[0][:200]
