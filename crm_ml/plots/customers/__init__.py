"""Displays of the customer base."""
