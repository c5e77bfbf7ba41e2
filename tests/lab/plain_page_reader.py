"""Reads from a registry's page, on a node of a lab: `plain_page_reader.py JAR ROOT ADDRESS`.

Prints what the address leads to. Cookies are kept in the file JAR. The certificate of a page with
TLS has to be of the authority in the file ROOT, which is empty for a page without.
"""

from __future__ import annotations

import ssl
import sys
from http.cookiejar import LWPCookieJar
from pathlib import Path
from urllib.request import HTTPCookieProcessor, HTTPSHandler, ProxyHandler, build_opener


def main(path: str, root: str, address: str) -> None:
    """Read it, as whoever is logged in."""
    jar = LWPCookieJar(path)
    if Path(path).exists():
        jar.load()
    context = ssl.create_default_context(cafile=root) if root else None
    handlers = (ProxyHandler({}), HTTPCookieProcessor(jar), HTTPSHandler(context=context))
    opener = build_opener(*handlers)
    with opener.open(address, timeout=60) as answer:
        sys.stdout.write(answer.read().decode())
    jar.save()


if __name__ == "__main__":
    main(*sys.argv[1:])
