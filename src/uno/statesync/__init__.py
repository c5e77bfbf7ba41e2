"""How signed state reaches every node: envelopes, state database, flooding. Pure."""
