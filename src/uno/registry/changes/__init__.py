"""Everything that changes a registry: each operation makes one generation, or none."""
