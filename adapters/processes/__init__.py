"""Programs that run beside us and stop when we stop: the servers of development, the worker."""
