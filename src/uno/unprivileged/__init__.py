"""Processes without rights, which read what strangers send, and the agent's end of each."""
