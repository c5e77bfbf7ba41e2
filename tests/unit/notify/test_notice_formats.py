"""The formats of notices: what each kind of server takes."""

from __future__ import annotations

import email
import hashlib
import hmac
import json
from datetime import UTC, datetime
from email.policy import default as email_policy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from uno.model.notification_targets import target
from uno.notify.notice_formats import Mail, Post, Sent, message, text, title
from uno.notify.policy import Condition, Notice, NoticeKind

CONDITION = Condition(
    id="cell/3", subject="lan-c", text="lan-c is silent", remedy="start its agent: uno agent"
)
LOST = Notice(kind=NoticeKind.LOST, condition=CONDITION, since=0.0)
SENT = Sent(
    id="abc-1",
    uvn="corp",
    cell="relay",
    began=datetime(2026, 11, 30, 8, 0, tzinfo=UTC),
    now=datetime(2026, 11, 30, 8, 1, tzinfo=UTC),
    page="https://10.0.0.1/",
)


def post(url: str, notice: Notice = LOST) -> Post:
    made = message(target(url), notice, SENT)
    assert isinstance(made, Post)
    return made


@pytest.mark.feature("G50")
def test_a_webhook_gets_json_that_is_signed_with_its_secret() -> None:
    made = post("https://hooks.example.org/uno?a=1&secret=s3cret")
    assert (made.method, made.path) == ("POST", "/uno?a=1")
    assert json.loads(made.body) == {
        "id": "abc-1",
        "uvn": "corp",
        "kind": "lost",
        "condition": "cell/3",
        "subject": "lan-c",
        "title": "corp: lan-c is silent",
        "text": "lan-c is silent",
        "remedy": "start its agent: uno agent",
        "since": "2026-11-30T08:00:00+00:00",
        "time": "2026-11-30T08:01:00+00:00",
        "sender": "relay",
        "url": "https://10.0.0.1/",
    }
    expected = hmac.new(b"s3cret", made.body, hashlib.sha256).hexdigest()
    assert made.headers["X-Uno-Signature"] == f"sha256={expected}"
    assert "s3cret" not in made.path


@pytest.mark.parametrize(
    ("steady", "words"), [(15.0, "15 s"), (900.0, "15 minutes"), (54000.0, "900 minutes")]
)
def test_of_what_comes_and_goes_it_is_said_when_the_next_notice_is_sent(
    steady: float, words: str
) -> None:
    unstable, sent = replace(LOST, kind=NoticeKind.UNSTABLE), replace(SENT, steady=steady)
    expected = f"Nothing more is sent until it has been steady for {words}."
    assert expected in text(unstable, sent).splitlines()
    assert not any("steady" in line for line in text(LOST, sent).splitlines())


@pytest.mark.feature("G50")
def test_ntfy_gets_its_topic_and_token() -> None:
    made = post("ntfy+https://ntfy.example.org/alerts?token=tk_1")
    document = json.loads(made.body)
    assert (made.path, document["topic"], document["priority"]) == ("/", "alerts", 4)
    assert made.headers["Authorization"] == "Bearer tk_1"
    assert document["click"] == "https://10.0.0.1/"


@pytest.mark.feature("G50")
def test_gotify_gets_its_token_in_a_header() -> None:
    made = post("gotify+https://push.example.org/base/?token=A1")
    assert (made.path, made.headers["X-Gotify-Key"]) == ("/base/message", "A1")
    assert json.loads(made.body)["priority"] == 8


@pytest.mark.feature("G50")
def test_an_incoming_webhook_gets_text() -> None:
    made = post("slack+https://hooks.example.org/services/T/B/x")
    assert made.path == "/services/T/B/x"
    assert json.loads(made.body)["text"].startswith("*corp: lan-c is")


@pytest.mark.feature("G50")
def test_matrix_gets_the_same_transaction_at_each_attempt() -> None:
    made = post("matrix+https://matrix.example.org/!room:example.org?token=t")
    assert (made.method, made.path) == (
        "PUT",
        "/_matrix/client/v3/rooms/%21room%3Aexample.org/send/m.room.message/abc-1",
    )
    assert made.headers["Authorization"] == "Bearer t"


@pytest.mark.feature("G50")
def test_a_mail_has_the_headers_that_keep_answers_and_threads_right() -> None:
    url = "smtp://u:p@mail.example.org/?from=uno@example.org&to=a@example.org,b@example.org"
    made = message(target(url), LOST, SENT)
    assert isinstance(made, Mail)
    assert made.recipients == ("a@example.org", "b@example.org")
    read = email.message_from_bytes(made.content, policy=email_policy)
    assert read["Subject"] == "corp: lan-c is silent"
    assert read["Auto-Submitted"] == "auto-generated"
    assert read["Message-ID"] == "<abc-1@example.org>"
    found = message(target(url), Notice(kind=NoticeKind.FOUND, condition=CONDITION, since=0), SENT)
    assert isinstance(found, Mail)
    later = email.message_from_bytes(found.content, policy=email_policy)
    assert later["In-Reply-To"] == read["In-Reply-To"], "one thread"
    assert "Since 2026-11-30 08:00:00 UTC." in read.get_content()
    assert "To do: start its agent: uno agent." in read.get_content()


@given(st.text(max_size=80), st.text(max_size=80), st.sampled_from(NoticeKind))
def test_no_text_breaks_out_of_a_header_or_of_json(
    subject: str, text: str, kind: NoticeKind
) -> None:
    condition = Condition(id="x", subject=subject, text=text, remedy=text)
    notice = Notice(kind=kind, condition=condition, since=0.0)
    assert "\n" not in title(notice, SENT)
    assert "\r" not in title(notice, SENT)
    for url in ("https://a.example/", "ntfy+https://a.example/t", "slack+https://a.example/x"):
        json.loads(post(url, notice).body)
    mail = message(target("smtp://a.example/?from=a@b.org&to=c@d.org"), notice, SENT)
    assert isinstance(mail, Mail)
    read = email.message_from_bytes(mail.content, policy=email_policy)
    assert read["To"] == "c@d.org"
