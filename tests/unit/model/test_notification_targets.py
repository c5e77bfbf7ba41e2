"""URLs of notification targets: what is read, refused, and shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uno.model.notification_targets import (
    Protocol,
    redacted,
    target,
    target_fault,
    web_address_fault,
)


def test_a_target_has_its_host_port_and_secrets() -> None:
    found = target("smtp://us%40er:p%3Aw@mail.example.org/?from=a@b.org&to=c@d.org,e@f.org")
    assert (found.protocol, found.port, found.starttls, found.secure) == (
        Protocol.SMTP,
        587,
        True,
        False,
    )
    assert (found.user, found.password) == ("us@er", "p:w")
    assert found.recipients == ("c@d.org", "e@f.org")
    assert target("smtps://mail.example.org/?from=a@b.org&to=c@d.org").port == 465
    plain = target("smtp://10.1.1.1:25/?tls=off&from=a@b.org&to=c@d.org")
    assert (plain.starttls, plain.secure) == (False, False)
    assert target("ntfy+http://10.1.1.1:8080/x").port == 8080


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("", "is not a URL"),
        ("hooks.example.org/x", "is not a URL"),
        ("slack+https://h.example/…", "is what is shown of a target"),
        ("ftp://a.example/", "no notifications go to"),
        ("pager+https://a.example/", "no notifications go to"),
        ("smtp+https://a.example/", "no notifications go to"),
        ("https://", "names no host"),
        ("https://a.example:99999/", "is not a URL"),
        ("https://a.example/ x", "is not a URL"),
        ("https://a.example/\n", "is not a URL"),
        ("gotify+https://a.example/", "has no token"),
        ("matrix+https://a.example/!r:a", "has no token"),
        ("matrix+https://a.example/?token=x", "has no room"),
        ("ntfy+https://a.example/", "has no topic"),
        ("smtp://a.example/?to=a@b.org", "has no 'from'"),
        ("smtp://a.example/?from=a@b.org", "has no 'to'"),
        ("smtp://a.example/?from=a@b.org&to=nobody", "is not an e-mail address"),
    ],
)
def test_a_wrong_target_is_refused_with_what_to_do(url: str, what: str) -> None:
    fault = target_fault(url)
    assert fault is not None
    assert what in fault.what
    assert fault.hint
    with pytest.raises(ValueError, match=r"[a-z]"):
        target(url)


def test_a_heartbeat_is_fetched() -> None:
    assert web_address_fault("https://hc.example.org/ping/1") is None
    assert web_address_fault("ntfy+https://a.example/t") is not None
    assert web_address_fault("hc.example.org") is not None


def test_what_is_shown_has_no_secret() -> None:
    shown = redacted("smtp://me:pw@mail.example.org:25/?from=a@b.org&to=c@d.org")
    assert shown == "smtp://mail.example.org:25/…"
    assert redacted("slack+https://h.example/services/T0/B0/xyz") == "slack+https://h.example/…"
    secret = target("gotify+https://push.example.org/?token=A1")
    assert "A1" not in f"{secret} {secret!r}"


@given(st.text(max_size=60))
def test_every_text_is_a_target_or_refused(text: str) -> None:
    fault = target_fault(text)
    if fault is None:
        assert target(text).host


@given(
    user=st.text("abcdef", min_size=6, max_size=9),
    token=st.text("ghijkl", min_size=6, max_size=9),
    place=st.text("mnopqr", min_size=6, max_size=9),
)
def test_faults_name_no_secret(user: str, token: str, place: str) -> None:
    for scheme in ("smtp", "https", "matrix+https", "what+https"):
        url = f"{scheme}://{user}:{user}@a.example/{place}?x={token}"
        fault = target_fault(url)
        shown = f"{fault} {redacted(url)}"
        assert not {user, token, place} & set(shown.replace("/", " ").split())
        assert user not in shown
        assert token not in shown
        assert place not in shown
