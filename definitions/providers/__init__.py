"""What a provider of workflow executions takes and gives, whatever engine runs them. Pure."""
