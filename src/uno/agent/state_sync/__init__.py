"""Connects a cell to state synchronisation: sequence numbers, status publishing, bus watchdog."""
