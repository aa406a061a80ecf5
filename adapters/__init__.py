"""How steploom meets the world: one folder for each outside system."""
