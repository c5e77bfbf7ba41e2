"""What each cell and link is allocated: addresses, interface slots, ports."""
