"""The client: executions started and followed from programs of one's own."""
