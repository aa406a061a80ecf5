"""The demo: an expense approval on real input, with the tasks that it needs."""
