"""Model values to JSON and back, in a process of several threads."""

from __future__ import annotations

import sys

from uno.host.command import run

# New kinds each time, so that each time is the first; in a process of its own, since it may crash.
FIRST_LOOKS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from threading import Barrier

import msgspec

from uno.model import codec

sys.setswitchinterval(1e-6)
together = Barrier(4)


def look(kind):
    together.wait()
    return codec.decode(text, kind)


with ThreadPoolExecutor(4) as pool:
    for number in range(200):
        fields = [(f"field{n}", IPv4Address | None, None) for n in range(20)]
        inner = msgspec.defstruct(f"Inner{number}", fields)
        outer = msgspec.defstruct(f"Outer{number}", [("many", tuple[inner, ...]), ("one", inner)])
        value = outer((inner(IPv4Address("192.0.2.1")),), inner())
        text = codec.encode(value)
        assert list(pool.map(look, [outer] * 4)) == [value] * 4
print("all are the same")
"""


def test_threads_may_use_a_kind_for_the_first_time_together() -> None:
    done = run([sys.executable, "-c", FIRST_LOOKS], timeout=60, check=False)

    assert (done.status, done.stdout, done.stderr) == (0, "all are the same\n", "")
