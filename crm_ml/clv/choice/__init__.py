"""Which purchase process, at which level: chosen out of time, on the log itself."""
