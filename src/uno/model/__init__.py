"""Values: what the owner declares, what was decided, what was observed. Frozen, and pure."""
