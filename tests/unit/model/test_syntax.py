from __future__ import annotations

import pytest

from uno.model.syntax import (
    Fault,
    email_fault,
    host_fault,
    host_port,
    interface_fault,
    interface_name,
    name_fault,
    printable,
    quoted,
    same_host,
    shown,
    suggestion,
    text_fault,
)

pytestmark = pytest.mark.feature("G23")


@pytest.mark.parametrize("name", ["a", "0", "lan-a", "lan-", "1" * 63, "cells"])
def test_a_name_is_lower_case_letters_digits_and_hyphens(name: str) -> None:
    assert name_fault(name) is None


@pytest.mark.parametrize(
    "name",
    ["", "-a", "Lan", "lan_a", "lan a", "lan.a", "lan\n", "é", "a" * 64, "$(x)", "../x", "a;b"],
)
def test_anything_else_is_no_name(name: str) -> None:
    assert name_fault(name) is not None


@pytest.mark.parametrize("name", ["registry", "agent", "uvn", "cell", "particle", "user", "owner"])
def test_reserved_words_are_no_names(name: str) -> None:
    assert name_fault(name) == Fault(f"the name '{name}' is a reserved word", "choose another name")


def test_a_name_that_is_nearly_one_is_offered() -> None:
    fault = name_fault("Café Nord")

    assert fault
    assert fault.hint.endswith(": cafe-nord")


@pytest.mark.parametrize(
    "email",
    [
        *("john@example.org", "j.d+uno@mail.example.org", "root@localhost", "A_b%c@x.io"),
        "o'brien@example.org",
    ],
)
def test_common_e_mail_addresses_are_taken(email: str) -> None:
    assert email_fault(email) is None


@pytest.mark.parametrize(
    "email",
    [
        *("", "john", "@example.org", "john@", "a@b@c", ".a@b.c", "a..b@c.d", "a b@c.d"),
        *("a@b_c.d", "a@-b.c", "a@b..c", "`id`@b.c", "a|b@c.d", "a\n@c.d", "a@c.d\n"),
        *("a/b@c.d", "a@[192.0.2.1]", "é@c.d", "x" * 65 + "@c.d", "a@" + "b." * 130 + "c"),
    ],
)
def test_anything_else_is_no_e_mail_address(email: str) -> None:
    assert email_fault(email) is not None


@pytest.mark.parametrize(
    "host",
    [
        *("a", "a.example.org", "A-1.Example.ORG", "xn--mller-kva.example.org", "4.example.org"),
        *("192.0.2.1", "2001:db8::1", "203.0.113.5", "localhost.org", "1-2.3x"),
        *("10.0.0.1", "fd00::1", "gw", "localhosts", "0xcafe.org"),
    ],
)
@pytest.mark.feature("F005")
@pytest.mark.feature("F030")
def test_host_names_and_addresses_are_public_addresses(host: str) -> None:
    assert host_fault(host) is None


@pytest.mark.parametrize(
    "host",
    [
        *("", ".", "a.", "a..b", "-a.b", "a-.b", "a_b.c", "a b", "a\n", "é.org", "x" * 64 + ".org"),
        *("https://a.b", "a.b/c", "a.b:80", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "a.1"),
        *("[::1]", "::1:", "fe80::1%eth0", "0.0.0.000", "::", "224.0.0.1", "ff02::1", "$(x)"),
        "0.0.0" + ".0",
        ".".join(["x" * 60] * 5),
    ],
)
def test_anything_else_is_no_public_address(host: str) -> None:
    assert host_fault(host) is not None


@pytest.mark.feature("F005")
@pytest.mark.feature("F030")
@pytest.mark.parametrize(
    ("host", "kind"),
    [
        *((host, "loopback address of each host") for host in ("localhost", "A.LOCALHOST")),
        *((host, "loopback address of each host") for host in ("ip6-loopback", "localhost6")),
        ("localhost.localdomain", "loopback address of each host"),
        *(("127.0.0.1", "a loopback"), ("127.255.255.255", "a loopback"), ("::1", "the loopback")),
        *(("169.254.0.1", "link-local"), ("fe80::1", "link-local"), ("febf::1", "link-local")),
        *(("224.0.0.1", "multicast"), ("239.255.255.255", "multicast"), ("ff0e::1", "multicast")),
        *(("0.0.0.0", "RFC 1122"), ("0.1.2.3", "RFC 1122"), ("::", "unspecified")),  # noqa: S104
        *(("255.255.255.255", "the broadcast"), ("240.0.0.1", "reserved")),
    ],
)
def test_an_address_that_no_other_site_can_connect_to_is_refused(host: str, kind: str) -> None:
    fault = host_fault(host)

    assert fault is not None
    assert kind in fault.what
    assert fault.hint == "write the public address, or none if the host is behind NAT"


@pytest.mark.parametrize("host", ["126.255.255.255", "128.0.0.1", "169.253.1.1", "223.0.0.1"])
def test_addresses_beside_the_refused_blocks_are_accepted(host: str) -> None:
    assert host_fault(host) is None


def test_an_ipv4_address_in_ipv6_form_is_refused_with_its_own_form() -> None:
    fault = host_fault("::ffff:192.0.2.1")

    assert fault is not None
    assert fault.hint == "write 192.0.2.1"


@pytest.mark.parametrize("host", ["0x7f000001", "a.0x", "0X1.0x1"])
def test_a_hexadecimal_number_is_no_host_name(host: str) -> None:
    assert host_fault(host) is not None


def test_the_many_spellings_of_a_host_are_one() -> None:
    assert same_host("A.Example.ORG") == same_host("a.example.org")
    assert same_host("2001:DB8:0::1") == same_host("2001:db8::1")
    assert same_host("a.example.org") != same_host("b.example.org")


@pytest.mark.feature("F038")
@pytest.mark.parametrize("pattern", ["uwg-v{}", "a{}", "wg{}.x", "a_b-c.d0{}", "x" * 11 + "{}"])
def test_a_pattern_has_one_place_for_a_number(pattern: str) -> None:
    assert interface_fault(pattern) is None
    assert len(pattern.format(9999)) <= 15


@pytest.mark.parametrize(
    "pattern",
    ["", "wg", "{}", "{}a", "a{}{}", "-a{}", "0{}", "A{}", "a/{}", "a {}", "x" * 12 + "{}"],
)
def test_anything_else_is_no_pattern(pattern: str) -> None:
    assert interface_fault(pattern) is not None


@pytest.mark.parametrize("text", ["", " ", "a\nb", "\x1b[2J", "a\u202eb", "x" * 201])
def test_text_is_one_line_that_can_be_shown(text: str) -> None:
    assert text_fault(text) is not None
    assert text_fault("Zürich, Rack 4 (2. OG)") is None


@pytest.mark.parametrize(
    "fault",
    [
        name_fault("\u201clan-a\u201d"),
        email_fault("\u201cjane@example.org\u201d"),
        host_fault("\u201ca.example.org\u201d"),
        text_fault("\u2018Jane\u2019"),
        text_fault("\u00abZürich"),
    ],
)
def test_quotation_marks_of_a_text_processor_are_named(fault: Fault | None) -> None:
    assert fault is not None
    assert fault.hint == "its quotation marks are those of a text processor; leave them out"
    assert text_fault("Jane O\u2019Brien") is None


def test_what_is_shown_is_short_and_harmless() -> None:
    for hostile in ("\x1b[2J" * 100, "a\u202eb\ue000", "\ud800", "x" * 10_000):
        for safe in (quoted(hostile), printable(hostile), shown(hostile)):
            assert safe.isprintable()
            assert len(safe) < 1000


def test_a_good_name_is_shown_as_it_is() -> None:
    assert shown("lan-a") == "lan-a"
    assert shown("Lan A") == "'Lan A'"


def test_a_likely_name_is_suggested() -> None:
    assert suggestion("adress", ["owner", "address"]) == "did you mean address?"
    assert suggestion("zzz", ["owner", "address"]) == ""
    assert suggestion("x" * 1_000_000, ["owner"]) == ""


def test_the_number_replaces_the_braces_of_an_interface_pattern() -> None:
    assert interface_name("uwg-b{}", 3) == "uwg-b3"
    assert interface_name("b{}-uno", 3) == "b3-uno"


@pytest.mark.feature("G32")
@pytest.mark.parametrize(
    ("endpoint", "written"),
    [
        ("lan-a.example.org", "lan-a.example.org:63550"),
        ("192.0.2.1", "192.0.2.1:63550"),
        ("2001:db8::1", "[2001:db8::1]:63550"),
    ],
)
def test_only_an_ipv6_address_is_in_brackets(endpoint: str, written: str) -> None:
    assert host_port(endpoint, 63550) == written
