"""The providers of executions, by name: our own, and those of other distributions."""
