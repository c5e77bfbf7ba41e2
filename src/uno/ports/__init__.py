"""What the agent needs from the world, as Protocols."""
