"""Why something does not work: checks of a host and of the registry, and paths explained. Pure."""
