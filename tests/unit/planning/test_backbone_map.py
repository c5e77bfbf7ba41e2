from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from uno.model.uvn import Uvn
from uno.planning.backbone_map import WIDTH, text
from uno.planning.planner import plan

MAP = """\
net: 3 cells, 2 links, crossed, 10.255.192.0/20

c1 (cell 1)  c1.example.org  10.255.128.2  192.168.1.0/24
  uwg-b0          10.255.192.2    63550 ↔ 63550 10.255.192.3    c2
  uwg-b1          10.255.192.4    63551 ↔     - 10.255.192.5    c3

c2 (cell 2)  c2.example.org  10.255.128.3  192.168.2.0/24
  uwg-b0          10.255.192.3    63550 ↔ 63550 10.255.192.2    c1

c3 (cell 3)  private  10.255.128.4  192.168.3.0/24
  uwg-b0          10.255.192.5        - ↔ 63551 10.255.192.4    c1
"""


@pytest.mark.feature("F064")
def test_the_map_shows_both_ends_of_each_link_of_each_cell(define: Callable[..., Uvn]) -> None:
    assert text(plan(define(public=2, private=1), None)) == MAP


@pytest.mark.feature("F064")
def test_long_names_and_many_lans_stay_within_the_width(define: Callable[..., Uvn]) -> None:
    uvn = define(public=2)
    lans = tuple(lan for lan in uvn.cells[0].allowed_lans[0].supernet(8).subnets(4))
    long = replace(uvn.cells[0], name="a-gateway-with-a-very-long-name", allowed_lans=lans)

    printed = text(plan(replace(uvn, cells=(long, uvn.cells[1])), None))

    assert max(map(len, printed.splitlines())) <= WIDTH
    assert all(str(lan) in printed for lan in lans)
    assert "10.255.192.2    a-gateway-with-…" in printed


@pytest.mark.feature("F064")
def test_one_cell_has_no_links(define: Callable[..., Uvn]) -> None:
    assert text(plan(define(public=1), None)).startswith("net: 1 cell, 0 links, crossed")
