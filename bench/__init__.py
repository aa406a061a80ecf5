"""What the record costs: ours beside hand-written Temporal workflows and DBOS, on real servers."""
