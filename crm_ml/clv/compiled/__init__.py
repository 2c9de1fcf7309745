"""Loops over customers that run as machine code where there are many, and their arithmetic."""
