"""What ``docs/generate.py`` makes: one module for each kind of part."""
