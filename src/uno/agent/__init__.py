"""The cell's side: accepts packages, and makes its host what the accepted one says."""
