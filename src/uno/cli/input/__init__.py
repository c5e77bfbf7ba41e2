"""What commands take: options, specifications, passwords, and the change that they make of it."""
