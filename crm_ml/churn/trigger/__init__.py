"""Rules that fire for a customer, and what came of their alarms beside those of a model."""
