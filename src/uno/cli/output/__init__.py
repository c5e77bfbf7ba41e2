"""What commands print: tables, views, JSON and messages."""
