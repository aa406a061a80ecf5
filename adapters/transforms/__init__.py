"""Transforms of triggers, evaluated where they can be killed."""
