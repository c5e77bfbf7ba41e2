"""A host in memory that prints itself, for tests and rehearsals."""
