"""The web page of a UVN: what it shows, its API, and the process that serves it."""
