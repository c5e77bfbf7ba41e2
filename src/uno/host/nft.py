"""uno's nftables table: put in place in one transaction, looked at, removed. Source: nft(8)."""

from __future__ import annotations

from uno.host.command import run

TABLE = ("inet", "uno")


def replace_table(ruleset: str | None) -> None:
    """Put `ruleset` in place of the table; None removes it. All or nothing."""
    name = " ".join(TABLE)
    # Adding an empty table first makes the deletion work whether or not there was one.
    clear = f"table {name}\ndelete table {name}\n"
    run(["nft", "-f", "-"], stdin=clear + (ruleset or ""))


def listing() -> str | None:
    """Return the table as nft lists it without counters, or None where there is none."""
    done = run(["nft", "-s", "list", "table", *TABLE], check=False)
    return done.stdout if done.status == 0 else None
