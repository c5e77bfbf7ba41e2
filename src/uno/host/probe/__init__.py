"""ICMP echo probes between cells."""
