"""Which cells are linked: each strategy a pure function from cells, seed and parent to pairs.

`layout` is the way in. What a pair of cells then gets (number, addresses, slots, ports) is decided
in `planning.allocation.link_allocation` and depends on no strategy.
"""
