"""Recorded histories of every release, replayed by the code as it is now."""
