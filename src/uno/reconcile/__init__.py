"""Desired and observed state to ordered steps, and the one place that applies them."""
