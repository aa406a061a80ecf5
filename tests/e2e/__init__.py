"""The whole, started as a newcomer starts it."""
