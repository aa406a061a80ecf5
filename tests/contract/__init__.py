"""Every provider of ours against the contract that all of them have."""
