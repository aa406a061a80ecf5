"""What others can hold their own work against."""
