"""Lookups of endpoints wait for a name service, but not for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from uno.host.wireguard import endpoint_lookup
from uno.host.wireguard.endpoint_lookup import PatientResolver

PLACE = ("192.0.2.1:7",)


class NameService:
    """Answers once it is released."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.asked: list[str] = []

    def lookup(self, endpoint: str) -> tuple[str, ...]:
        self.asked.append(endpoint)
        self.released.wait(30)
        return PLACE


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameService]:
    """A name service that is out of reach."""
    service = NameService()
    monkeypatch.setattr(endpoint_lookup, "lookup", service.lookup)
    monkeypatch.setattr(endpoint_lookup, "PATIENCE", 0.05)
    yield service
    service.released.set()


@pytest.mark.feature("G51")
def test_a_silent_name_service_is_waited_for_once_for_all_names(silent: NameService) -> None:
    names = [f"cell{number}.example.org:7" for number in range(20)]
    resolver = PatientResolver()
    resolver.begin(names)
    began = time.monotonic()

    found = [resolver.resolve([name]) for name in names]

    assert found == [{}] * 20
    assert time.monotonic() - began < 20 * 0.05 / 2
    assert sorted(silent.asked) == sorted(names)


@pytest.mark.feature("G51")
def test_answers_that_come_late_are_used_when_the_name_is_resolved_again(
    silent: NameService, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver = PatientResolver()
    assert resolver.resolve(["gw.example.org:7"]) == {}
    silent.released.set()
    monkeypatch.setattr(endpoint_lookup, "PATIENCE", 30.0)

    assert resolver.resolve(["gw.example.org:7"]) == {"gw.example.org:7": PLACE}
    assert silent.asked == ["gw.example.org:7"]
    assert resolver.resolve(["gw.example.org:7"]) == {"gw.example.org:7": PLACE}
    assert silent.asked == ["gw.example.org:7"] * 2


@pytest.mark.feature("G51")
def test_answers_that_nobody_has_used_for_long_are_not_used(
    silent: NameService, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent.released.set()
    resolver = PatientResolver()
    monkeypatch.setattr(endpoint_lookup, "PATIENCE", 30.0)
    resolver.begin(["gw.example.org:7"])
    resolver.begin(["gw.example.org:7"])
    assert silent.asked == ["gw.example.org:7"]
    monkeypatch.setattr(endpoint_lookup, "KEPT", -1.0)
    for each in threading.enumerate():
        if each.name == "resolve gw.example.org:7":
            each.join()

    assert resolver.resolve(["gw.example.org:7"]) == {"gw.example.org:7": PLACE}
    assert silent.asked == ["gw.example.org:7"] * 2
