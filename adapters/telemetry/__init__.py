"""OpenTelemetry: spans, metrics, and what Temporal carries between them. Off by default."""
