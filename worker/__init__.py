"""What runs a definition: the interpreter, the Temporal workflow and the worker process."""
