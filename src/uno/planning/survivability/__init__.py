"""What failures cost: single points of failure, the report, and suggestions."""
