"""Which cells are linked: each strategy a pure function from cells, seed and parent to pairs.

`select_links` is the way in. The number, addresses, slots and ports of a pair
come from `planning.allocation.link_allocation` and depend on no strategy.
"""
