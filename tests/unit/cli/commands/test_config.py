from __future__ import annotations

import json
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from commands import Uno
from uno.registry.changes import operations
from uno.registry.publish import package_files


def config(uno: Uno, *words: str) -> object:
    return json.loads(uno("config", *words[:-1], "-J", "-Q", words[-1]).out)


def generation(root: Path) -> int:
    with operations.opened(root) as registry:
        return registry.store.head().number


@pytest.mark.feature("F033")
@pytest.mark.feature("F037")
@pytest.mark.feature("F038")
@pytest.mark.feature("F039")
@pytest.mark.feature("F040")
@pytest.mark.feature("F042")
@pytest.mark.feature("F043")
@pytest.mark.parametrize(
    ("options", "path", "value"),
    [
        ("-a other.example.org", "address", "other.example.org"),
        ("--no-address", "address", None),
        ("--timing-profile fast", "settings.timing_profile", "fast"),
        ("--middleware connext", "settings.middleware", "connext"),
        ("--dds-domain 12", "settings.dds_domain", 12),
        ("--disable-root-vpn", "settings.enable_root_vpn", False),
        ("--disable-particles-vpn", "settings.enable_particles_vpn", False),
        ("--root-vpn-push-port 50001", "settings.root_vpn.peer_port", 50001),
        ("--root-vpn-pull-port 50002", "settings.root_vpn.port", 50002),
        ("--root-vpn-subnet 10.98.0.0/22", "settings.root_vpn.subnet", "10.98.0.0/22"),
        ("--root-vpn-mtu 1400", "settings.root_vpn.peer_mtu", 1400),
        ("--root-vpn-keepalive 9", "settings.root_vpn.keepalive", 9),
        ("--root-vpn-interface r{}", "settings.root_vpn.interface", "r{}"),
        ("--particles-vpn-port 50003", "settings.particles_vpn.port", 50003),
        ("--particles-vpn-subnet 10.9.0.0/16", "settings.particles_vpn.subnet", "10.9.0.0/16"),
        ("--particles-vpn-mtu 1400", "settings.particles_vpn.peer_mtu", 1400),
        ("--particles-vpn-keepalive 0", "settings.particles_vpn.keepalive", 0),
        ("--particles-vpn-interface p{}", "settings.particles_vpn.interface", "p{}"),
        ("--no-particles-vpn-masquerade", "settings.particles_vpn.masquerade", False),
        ("--no-particles-vpn-tunnel", "settings.particles_vpn.tunnel", False),
        ("--backbone-vpn-port 50004", "settings.backbone_vpn.port", 50004),
        ("--backbone-vpn-subnet 10.7.0.0/20", "settings.backbone_vpn.subnet", "10.7.0.0/20"),
        ("--backbone-vpn-mtu 1400", "settings.backbone_vpn.peer_mtu", 1400),
        ("--backbone-vpn-keepalive 9", "settings.backbone_vpn.keepalive", 9),
        ("--backbone-vpn-interface b{}", "settings.backbone_vpn.interface", "b{}"),
        (
            "--backbone-vpn-allowed-ips 10.50.0.0/16",
            "settings.backbone_vpn.allowed_ips[0]",
            "10.50.0.0/16",
        ),
        ("-S full-mesh", "settings.deployment.strategy", "full-mesh"),
        ("--private-uplinks 2", "settings.deployment.private_uplinks", 2),
    ],
)
def test_a_setting_of_the_uvn_is_changed(
    site: Uno, root: Path, options: str, path: str, value: object
) -> None:
    done = site("config", "uvn", "-U", *options.split())

    assert done.status == 0, done.err
    assert "Changed the UVN." in done.out
    assert config(site, "uvn", path) == value
    assert generation(root) == 5


@pytest.mark.feature("F033")
@pytest.mark.feature("F042")
@pytest.mark.feature("F043")
@pytest.mark.parametrize(
    ("off", "on"),
    [
        ("--disable-root-vpn", "--enable-root-vpn"),
        ("--disable-particles-vpn", "--enable-particles-vpn"),
        ("--no-particles-vpn-tunnel", "--particles-vpn-tunnel"),
        ("--no-particles-vpn-masquerade", "--particles-vpn-masquerade"),
    ],
)
def test_what_was_switched_is_switched_back(site: Uno, off: str, on: str) -> None:
    before = config(site, "uvn", "settings")

    assert site("config", "uvn", "-U", off).status == 0
    assert config(site, "uvn", "settings") != before
    assert site("config", "uvn", "-U", on).status == 0

    assert config(site, "uvn", "settings") == before


@pytest.mark.feature("F033")
@pytest.mark.feature("F028")
def test_the_owner_and_their_password_change(site: Uno, root: Path) -> None:
    words = ("config", "uvn", "-U", "-o", "Jane Doe <jane@example.org>", "-p", "janes")

    assert site(*words).status == 2
    assert site(*words, "-y").status == 0

    assert config(site, "uvn", "owner") == "jane@example.org"
    with operations.opened(root) as registry:
        users = {user.email: user.password for user in registry.store.head().uvn.users}
    assert PasswordHasher().verify(users["jane@example.org"] or "", "janes")
    assert PasswordHasher().verify(users["john@example.org"] or "", "secret")


@pytest.mark.feature("F033")
@pytest.mark.feature("F039")
@pytest.mark.feature("F040")
@pytest.mark.feature("G01")
def test_of_two_settings_that_change_both_are_printed(site: Uno) -> None:
    printed = site("config", "uvn", "-U", "--dds-domain", "99", "--timing-profile", "fast").out

    lines = printed.splitlines()
    assert {"~ settings.dds_domain 46 → 99", "~ settings.timing_profile default → fast"} <= {*lines}
    assert {"~ bus: domain 46 → 99", "~ timing: bfd interval 250 → 100"} <= {*lines}
    assert "2 cell packages written" in printed
    assert "no cell is affected" not in printed.lower()


@pytest.mark.feature("F034")
@pytest.mark.feature("F044")
@pytest.mark.feature("F045")
@pytest.mark.parametrize(
    ("options", "path", "value"),
    [
        ("-a other.example.org", "address", "other.example.org"),
        ("--no-address", "address", None),
        ("-N 10.7.0.0/16", "allowed_lans", ["10.7.0.0/16"]),
        ("-N 10.8.0.0/16 -N 10.7.0.0/16", "allowed_lans", ["10.7.0.0/16", "10.8.0.0/16"]),
        ("--add-network 10.7.0.0/16", "allowed_lans", ["10.7.0.0/16", "192.168.1.0/24"]),
        (
            "--add-network 10.7.0.0/16 --remove-network 192.168.1.0/24",
            "allowed_lans",
            ["10.7.0.0/16"],
        ),
        ("--remove-network 192.168.1.0/24", "allowed_lans", []),
        ("--httpd-port 8443", "settings.httpd_port", 8443),
        ("--location Rome", "settings.location", "Rome"),
        ("--disable-particles-vpn", "settings.enable_particles_vpn", False),
        ("--root-vpn-port 50001", "settings.root_vpn_port", 50001),
        ("--particles-vpn-port 50002", "settings.particles_vpn_port", 50002),
        ("--backbone-vpn-port 50003", "settings.backbone_vpn_port", 50003),
        ("--timing-profile metered", "settings.timing_profile", "metered"),
    ],
)
def test_a_setting_of_a_cell_is_changed(
    site: Uno, root: Path, options: str, path: str, value: object
) -> None:
    done = site("config", "cell", "a", "-U", *options.split())

    assert done.status == 0, done.err
    assert config(site, "cell", "a", path) == value
    assert generation(root) == 5


@pytest.mark.feature("F034")
@pytest.mark.feature("F042")
def test_what_was_set_of_a_cell_is_cleared(site: Uno) -> None:
    before = config(site, "cell", "a", "settings")
    given = "--location Rome --root-vpn-port 50001 --disable-particles-vpn --timing-profile metered"
    assert site("config", "cell", "a", "-U", *given.split()).status == 0

    cleared = "--no-location --default-ports --enable-particles-vpn --no-timing-profile"
    assert site("config", "cell", "a", "-U", *cleared.split()).status == 0

    assert config(site, "cell", "a", "settings") == before


@pytest.mark.parametrize(
    "options",
    [
        "-a x.org --no-address",
        "--location x --no-location",
        "--root-vpn-port 9 --default-ports",
        "--timing-profile fast --no-timing-profile",
    ],
)
def test_to_set_and_to_clear_is_refused(site: Uno, root: Path, options: str) -> None:
    refused = site("config", "cell", "a", "-U", *options.split())

    assert refused.status == 2
    assert "both set and cleared" in refused.err
    assert generation(root) == 4


@pytest.mark.feature("F036")
@pytest.mark.feature("F028")
def test_a_particle_gets_another_name_and_owner(site: Uno, root: Path) -> None:
    words = ("-n", "mobile", "-o", "Jane Doe <jane@example.org>", "-y")

    done = site("config", "particle", "phone", "-U", *words)

    assert done.status == 0, done.err
    assert config(site, "particle", "mobile", "owner") == "jane@example.org"
    assert [path.name for path in (root / "particles").iterdir()] == ["net__mobile.zip"]


@pytest.mark.feature("F035")
def test_a_user_gets_another_name_and_password(site: Uno, root: Path, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("newer\n")
    words = ("-n", "John Doe", "--password-file", str(tmp_path / "password"))

    assert site("config", "user", "john@example.org", "-U", *words).status == 0

    with operations.opened(root) as registry:
        (user,) = registry.store.head().uvn.users
    assert user.name == "John Doe"
    assert PasswordHasher().verify(user.password or "", "newer")


@pytest.mark.parametrize("thing", ["uvn", "cell a", "particle phone", "user john@example.org"])
def test_an_update_of_nothing_is_refused(site: Uno, root: Path, thing: str) -> None:
    refused = site("config", *thing.split(), "-U")

    assert refused.status == 2
    assert "no change of" in refused.err
    assert generation(root) == 4


def test_to_change_without_u_is_refused(site: Uno) -> None:
    refused = site("config", "cell", "a", "-a", "x.example.org")

    assert (refused.status, refused.out) == (2, "")
    assert refused.err == "uno: -U: cell a is only shown; add -U to change it\n"


def test_what_is_so_already_is_no_change(site: Uno, root: Path) -> None:
    done = site("config", "cell", "a", "-U", "-a", "a.example.org")

    assert done.status == 0
    assert "No change" in done.out
    assert generation(root) == 4


@pytest.mark.feature("F032")
def test_a_changed_configuration_is_printed_when_asked_for(site: Uno) -> None:
    done = site("config", "cell", "a", "-U", "--location", "Rome", "-Q", "settings.location")

    assert (done.status, done.out) == (0, "Rome\n")


@pytest.mark.parametrize(
    "words",
    [
        "cell a",
        "uvn",
        "particle laptop",
        "user john@example.org",
        "cell a -U --httpd-port 8443",
    ],
)
def test_packages_that_a_large_change_postponed_are_written(
    site: Uno, root: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.setattr(package_files, "_WORTH_WAITING", 1)
    assert site("define", "particle", "laptop").status == 0
    laptop = root / "particles" / "net__laptop.zip"
    site("config", *words.split(), "--dry-run", "-g")
    site("config", *words.split())
    assert not laptop.exists()

    done = site("config", *words.replace("8443", "8444").split(), "-g")

    assert laptop.exists()
    assert "particle package" in done.err


@pytest.mark.feature("F061")
def test_only_what_a_change_touches_is_written(site: Uno, root: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.uvn-agent")}

    assert site("config", "cell", "a", "-U", "--httpd-port", "8443").status == 0

    changed = {path.name for path in before if path.stat().st_mtime_ns != before[path]}
    assert changed == {"net__a.uvn-agent"}
