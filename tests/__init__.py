"""The tests, one folder for each tier."""
