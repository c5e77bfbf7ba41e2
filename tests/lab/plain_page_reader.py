"""Reads from a page without TLS, on a node of a lab: `plain_page_reader.py JAR ADDRESS`.

Prints what the address leads to. Cookies are kept in the file JAR.
"""

from __future__ import annotations

import sys
from http.cookiejar import LWPCookieJar
from pathlib import Path
from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener


def main(path: str, address: str) -> None:
    """Read it, as whoever is logged in."""
    jar = LWPCookieJar(path)
    if Path(path).exists():
        jar.load()
    opener = build_opener(ProxyHandler({}), HTTPCookieProcessor(jar))
    with opener.open(address, timeout=60) as answer:
        sys.stdout.write(answer.read().decode())
    jar.save()


if __name__ == "__main__":
    main(*sys.argv[1:])
