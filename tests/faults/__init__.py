"""Faults on purpose: whatever breaks meanwhile, the record agrees with Temporal's history."""
