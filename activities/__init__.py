"""What a step does: the task registry, the built-in tasks and the recorder that wraps them."""
