"""WireGuard interfaces, in the kernel or in a userspace process."""
