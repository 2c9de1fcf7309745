"""When customers buy next, and what they replenish."""
