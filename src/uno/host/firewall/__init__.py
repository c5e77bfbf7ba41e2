"""nftables: uno's own table, and forward chains of other programs."""
