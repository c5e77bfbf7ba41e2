"""Values: what the owner declares, what was decided, what was observed. Frozen, no behaviour that needs the world."""
