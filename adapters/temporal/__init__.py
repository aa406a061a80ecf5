"""Temporal: the client, the search attributes, and a server for development."""
