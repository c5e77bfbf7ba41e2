"""What follows from a generation: keys, cell packages, particle packages."""
