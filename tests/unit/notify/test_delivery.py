"""Messages to servers that are there, over HTTP and SMTP, also through the courier's process."""

from __future__ import annotations

import json
import os
import socketserver
import subprocess  # noqa: TID251 - the process is what is tested
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from receivers import MailReceiver, WebReceiver
from uno.diagnostics import TransientFailure
from uno.model.notification_targets import target
from uno.notify import courier
from uno.notify.delivery import deliver
from uno.notify.errands import Errand, Outcome
from uno.notify.notice_formats import Mail, Post

POST = Post(method="POST", path="/uno?a=1", headers={"X-One": "1"}, body=b'{"a": 1}')
MAIL = Mail(sender="uno@example.org", recipients=("a@example.org",), content=b"Subject: x\r\n\r\ny")


@contextmanager
def served(server: socketserver.TCPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def web() -> Iterator[tuple[WebReceiver, int]]:
    server = WebReceiver()
    with served(server) as port:
        yield server, port


@pytest.fixture
def mail() -> Iterator[tuple[MailReceiver, int]]:
    server = MailReceiver()
    with served(server) as port:
        yield server, port


def test_a_request_arrives_as_it_is(web: tuple[WebReceiver, int]) -> None:
    server, port = web
    deliver(target(f"http://us:pw@127.0.0.1:{port}/"), POST)
    ((method, path, headers, body),) = server.requests
    assert (method, path, body) == ("POST", "/uno?a=1", '{"a": 1}')
    assert headers["X-One"] == "1"
    assert headers["Authorization"] == "Basic dXM6cHc="


@pytest.mark.parametrize("status", [302, 401, 500])
def test_any_other_answer_is_a_failure_without_secrets(
    web: tuple[WebReceiver, int], status: int
) -> None:
    server, port = web
    server.status = status
    with pytest.raises(TransientFailure) as failure:
        deliver(target(f"gotify+http://us:pw@127.0.0.1:{port}/?token=tok"), POST)
    assert str(status) in failure.value.what
    assert len(server.requests) == 1, "a redirection is not followed"
    assert not [each for each in ("us:", "pw", "tok") if each in str(failure.value)]


def test_a_mail_arrives(mail: tuple[MailReceiver, int]) -> None:
    server, port = mail
    url = f"smtp://127.0.0.1:{port}/?tls=off&from=uno@example.org&to=a@example.org"
    deliver(target(url), MAIL)
    assert server.mails == [
        ["MAIL", "uno@example.org", ["a@example.org"], "Subject: x\r\n\r\ny\r\n"]
    ]


def test_a_mail_server_without_tls_gets_nothing_where_tls_is_expected(
    mail: tuple[MailReceiver, int],
) -> None:
    server, port = mail
    url = f"smtp://us:pw@127.0.0.1:{port}/?from=uno@example.org&to=a@example.org"
    with pytest.raises(TransientFailure):
        deliver(target(url), MAIL)
    assert not server.mails


def test_refused_recipients_are_named(mail: tuple[MailReceiver, int]) -> None:
    _, port = mail
    url = f"smtp://127.0.0.1:{port}/?tls=off&from=uno@example.org&to=a@example.org"
    sent = Mail(sender=MAIL.sender, recipients=("refused@example.org",), content=MAIL.content)
    with pytest.raises(TransientFailure, match=r"refused@example\.org|answered"):
        deliver(target(url), sent)


def test_a_server_that_is_not_there_is_a_failure() -> None:
    with pytest.raises(TransientFailure, match="Connection refused"):
        deliver(target("http://127.0.0.1:9/"), POST)


@pytest.mark.feature("G50")
def test_the_process_sends_all_and_reports_each(web: tuple[WebReceiver, int]) -> None:
    server, port = web
    errands = [
        Errand(url=f"http://127.0.0.1:{port}/", message=POST),
        Errand(url="http://127.0.0.1:9/", message=POST),
        Errand(url=f"http://127.0.0.1:{port}/beat"),
    ]
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-s", "-P", "-m", courier.__name__],
        input=msgspec.json.encode(errands),
        capture_output=True,
        check=True,
        timeout=60,
    )
    first, second, third = msgspec.json.decode(done.stdout, type=list[Outcome])
    assert (first.fault, third.fault) == ("", "")
    assert "Connection refused" in second.fault
    assert sorted(each[1] for each in server.requests) == ["/beat", "/uno?a=1"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up root's rights")
def test_the_process_keeps_no_rights_and_opens_connections(web: tuple[WebReceiver, int]) -> None:
    _, port = web
    program = (
        "import json, os, sys\n"
        "from uno.notify import courier, delivery\n"
        "from uno.notify.errands import Errand\n"
        "from uno.unprivileged.confinement import COURIER, confine\n"
        "confine(COURIER, parent=os.getppid())\n"
        f"errand = Errand(url='http://127.0.0.1:{port}/')\n"
        "outcome, = courier.run([errand])\n"
        "lines = [line.partition(':') for line in open('/proc/self/status')]\n"
        "found = {name: value for name, _, value in lines}\n"
        "print(json.dumps([outcome.fault, os.getuid(), found['CapEff'], found['NoNewPrivs']]))\n"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program], capture_output=True, check=True, timeout=60
    )
    fault, uid, capabilities, no_new = json.loads(done.stdout)
    assert fault == ""
    assert uid != 0
    assert int(capabilities, 16) == 0
    assert no_new.strip() == "1"
