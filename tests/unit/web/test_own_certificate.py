"""A certificate of the owner's: which files are taken, and why others are refused."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import pytest

from own_certificates import NOW, made
from uno.diagnostics import ActionNeeded
from uno.model.plan import CertificateFiles
from uno.web import own_certificate

MOMENT = int(NOW.timestamp())
DAY = 86_400


def files(folder: Path, chain: str, key: str) -> CertificateFiles:
    (folder / "page.pem").write_text(chain)
    (folder / "page.key").write_text(key)
    return CertificateFiles(certificate=str(folder / "page.pem"), key=str(folder / "page.key"))


@pytest.mark.feature("F106")
def test_a_certificate_with_its_chain_and_key_is_taken(tmp_path: Path) -> None:
    chain, key = made("page.Example.org", "*.example.net")
    found = files(tmp_path, chain + made("authority")[0], key)

    own = own_certificate.read(found)

    assert own.names == ("page.example.org", "*.example.net")
    assert own.chain.count("BEGIN CERTIFICATE") == 2
    own_certificate.require_valid(own, found, now=MOMENT)
    assert own_certificate.late(own, found, now=MOMENT) == ""
    assert "PRIVATE" not in repr(own)


@pytest.mark.feature("F106")
@pytest.mark.parametrize(
    ("chain", "key", "reason"),
    [
        (made("a")[0], made("b")[1], "is not the key of the first certificate in"),
        ("", made("b")[1], "page.pem has no certificate"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "",
            "has no certificate",
        ),
        (made("a")[0], "", "page.key has no private key that can be read"),
        (made("a")[0], made("a", passphrase="x")[1], "page.key has no private key"),  # noqa: S106
        ("x" * 200_000, "", "page.pem is larger than 128 KiB"),
    ],
)
def test_files_that_serve_no_page_are_refused_and_named(
    tmp_path: Path, chain: str, key: str, reason: str
) -> None:
    with pytest.raises(ActionNeeded) as refused:
        own_certificate.read(files(tmp_path, chain, key))

    assert reason in refused.value.what
    assert refused.value.hint


@pytest.mark.feature("F106")
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    there = files(tmp_path, *made("a"))
    Path(there.key).unlink()

    with pytest.raises(ActionNeeded, match=r"page\.key cannot be read: No such file"):
        own_certificate.read(there)


@pytest.mark.feature("F106")
@pytest.mark.parametrize(
    ("passed", "reason"),
    [(-31 * DAY, "is valid from"), (0, ""), (59 * DAY, ""), (60 * DAY, "has expired on")],
)
def test_a_certificate_is_valid_for_its_time(tmp_path: Path, passed: int, reason: str) -> None:
    there = files(tmp_path, *made("a"))
    own = own_certificate.read(there)

    with pytest.raises(ActionNeeded, match=reason) if reason else nullcontext():
        own_certificate.require_valid(own, there, now=MOMENT + passed)


@pytest.mark.feature("F106")
def test_one_that_is_not_renewed_in_time_is_a_problem_before_it_expires(tmp_path: Path) -> None:
    there = files(tmp_path, *made("a", starts=NOW, ends=NOW + timedelta(days=90)))
    own = own_certificate.read(there)

    assert own_certificate.late(own, there, now=MOMENT + 80 * DAY) == ""
    assert "has not been renewed" in own_certificate.late(own, there, now=MOMENT + 82 * DAY)


@pytest.mark.feature("F106")
def test_a_file_that_is_written_again_has_another_mark(tmp_path: Path) -> None:
    there = files(tmp_path, *made("a"))
    before = own_certificate.mark(there)
    assert own_certificate.mark(there) == before

    Path(there.certificate).write_text("longer" * 1000)

    assert own_certificate.mark(there) != before
    Path(there.certificate).unlink()
    assert own_certificate.mark(there) != before


@pytest.mark.parametrize(
    ("host", "is_named"),
    [
        ("page.example.org", True),
        ("a.example.net", True),
        ("a.b.example.net", False),
        ("example.net", False),
        ("*.example.net", True),
        ("192.168.1.2", False),
        ("", False),
    ],
)
def test_a_name_with_a_star_is_for_one_label(host: str, *, is_named: bool) -> None:
    names = ("page.example.org", "*.example.net")

    assert own_certificate.is_named(host, names) is is_named
