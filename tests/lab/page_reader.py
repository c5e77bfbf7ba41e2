"""Reads what web pages begin with, on a node of a lab: `page_reader.py ROOT.pem SECONDS ADDRESS …`.

An IPv4 address may have a port: `192.168.1.2:8443`.

Prints a line for each address, whose certificate has to be of the authority in `ROOT.pem`: what the
page begins with, or why it is not read in so many seconds.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial


def first_line(context: ssl.SSLContext, timeout: float, address: str) -> str:
    """Return what the page begins with, or the name of the error."""
    host, _, port = address.partition(":") if address.count(":") == 1 else (address, "", "")
    try:
        plain = socket.create_connection((host, int(port or 443)), timeout=timeout)
        with plain, context.wrap_socket(plain, server_hostname=host) as secure:
            connection = http.client.HTTPConnection(host)
            connection.sock = secure
            connection.request("GET", "/")
            return connection.getresponse().read(15).decode()
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"


def main(root: str, timeout: str, *addresses: str) -> None:
    """Read all at the same time."""
    context = ssl.create_default_context(cafile=root)
    with ThreadPoolExecutor(len(addresses)) as pool:
        for address, line in zip(
            addresses,
            pool.map(partial(first_line, context, float(timeout)), addresses),
            strict=True,
        ):
            sys.stdout.write(f"{address} {line}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
