"""The limits of the provider types, as the code has them."""

from __future__ import annotations

from definitions.providers.limits import EXECUTION_NAME_PATTERN, TABLE, WORKFLOW_ID_PATTERN

_PATTERNS = {
    "WorkflowSpec.workflow_id": WORKFLOW_ID_PATTERN,
    "ExecutionInput.execution_name": EXECUTION_NAME_PATTERN,
}


def provider_limits() -> str:
    """A row for each limit."""
    lines = ["| field | at most | pattern |", "|---|---|---|"]
    for field, most, unit in TABLE:
        pattern = f"`{_PATTERNS[field]}`" if field in _PATTERNS else ""
        name = f"`{field}`" if "." in field or field == "tags" else field
        lines.append(f"| {name} | {most:,} {unit} | {pattern} |")
    return "\n".join(lines)
