"""The registry's directory: generations, secrets, passphrases, backups."""
