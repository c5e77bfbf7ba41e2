"""Notifications: what is sent when something breaks and when it works again, to whom, by whom."""
