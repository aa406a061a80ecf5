"""What every command does, free of printing."""
