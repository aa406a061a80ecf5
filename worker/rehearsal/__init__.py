"""Runs a definition offline: the production interpreter on a virtual clock, with tasks mocked."""
