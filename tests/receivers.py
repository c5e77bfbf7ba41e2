"""Servers that receive notifications: of HTTP, and as much of SMTP (RFC 5321) as a mail takes.

    python receivers.py FILE WEB_PORT MAIL_PORT

appends what it receives to FILE, a JSON list in each line: method, path, headers, body; for a mail
`MAIL`, the sender, the recipients, the content.
"""

from __future__ import annotations

import json
import socketserver
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

Received = Callable[[list[Any]], None]


class WebReceiver(HTTPServer):
    """Keeps the requests that it receives, and answers with `status`."""

    def __init__(self, port: int = 0, *, received: Received | None = None) -> None:
        self.requests: list[list[Any]] = []
        self.received: Received = received or self.requests.append
        self.status = 200
        super().__init__(("127.0.0.1", port), _WebHandler)


class _WebHandler(BaseHTTPRequestHandler):
    server: WebReceiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.received([self.command, self.path, dict(self.headers), body.decode()])
        self.send_response(self.server.status)
        if self.server.status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    do_GET = do_PUT = do_POST  # noqa: N815 - names that the library calls

    def log_message(self, *args: object) -> None:
        """Print nothing."""


class MailReceiver(socketserver.TCPServer):
    """Keeps the mails that it receives; refuses recipients whose name begins with `refused`."""

    allow_reuse_address = True

    def __init__(self, port: int = 0, *, received: Received | None = None) -> None:
        self.mails: list[list[Any]] = []
        self.received: Received = received or self.mails.append
        super().__init__(("127.0.0.1", port), _MailHandler)


class _MailHandler(socketserver.StreamRequestHandler):
    server: MailReceiver

    def handle(self) -> None:
        sender, to = "", list[str]()
        self._answer("220 here")
        for line in self.rfile:
            words = line.decode().strip()
            command = words.upper()
            mailbox = words.partition("<")[2].partition(">")[0]
            if command.startswith("MAIL"):
                sender = mailbox
            if command.startswith("RCPT") and mailbox.startswith("refused"):
                self._answer("550 no such user")
                continue
            if command.startswith("RCPT"):
                to.append(mailbox)
            if command == "DATA":
                self._answer("354 go on")
                content = b""
                while (part := self.rfile.readline()) not in {b".\r\n", b""}:
                    content += part
                self.server.received(["MAIL", sender, to, content.decode()])
            if command == "QUIT":
                self._answer("221 bye")
                return
            self._answer("250 ok")

    def _answer(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


def main(file: str, web_port: str, mail_port: str) -> None:
    """Receive until killed."""

    def received(what: list[Any]) -> None:
        with Path(file).open("a") as out:
            out.write(json.dumps(what) + "\n")

    servers = (
        WebReceiver(int(web_port), received=received),
        MailReceiver(int(mail_port), received=received),
    )
    threads = [threading.Thread(target=each.serve_forever) for each in servers]
    for each in threads:
        each.start()


if __name__ == "__main__":
    main(*sys.argv[1:])
