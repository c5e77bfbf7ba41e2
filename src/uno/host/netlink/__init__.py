"""Interfaces, addresses, routes and rules, through rtnetlink(7) and ip(8)."""
