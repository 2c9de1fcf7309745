"""Which customers are about to leave, what each one is worth, and where the next retention dollar goes."""

__version__ = "0.1.0"
