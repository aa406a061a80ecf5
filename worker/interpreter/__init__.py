"""The pure interpreter: a definition and a state in, tasks to run out. Imports definitions only."""
