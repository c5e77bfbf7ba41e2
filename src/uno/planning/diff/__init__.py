"""What a new plan changes: in all, per cell, and as text."""
