"""How right predictions were: numbers, and frames behind the pictures."""
