"""The cell's side: accepts packages, and reconciles its host with the accepted one."""
