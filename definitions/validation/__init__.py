"""What is wrong with a document, all at once. ``api`` is the way in, the rest are the rules."""
