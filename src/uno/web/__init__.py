<<<<<<< HEAD
"""The web page of a UVN: what it shows, its API, and the process that serves it."""
=======
"""The web page of the UVN: what it shows, and the process that serves it."""
>>>>>>> 8a52f9d (registry: certificates and logins of cells' pages, in their packages)
