"""The command line, ``steploom``."""
