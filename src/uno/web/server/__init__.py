"""The process that serves the page: it has no rights, no key of the cell's, and no files."""
