"""The feature builders that come with the library."""
