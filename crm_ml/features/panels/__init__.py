"""Features and labels of whole logs: swept, framed, written, carried from day to day."""
