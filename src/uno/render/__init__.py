"""Plans and secrets to files, and back: bytes and text, without touching the disk."""
