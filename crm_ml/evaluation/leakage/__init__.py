"""Features that know the future, found and named."""
