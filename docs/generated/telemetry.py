"""The metrics: one row for each instrument."""

from __future__ import annotations

from adapters.telemetry.names import METRICS
from generated.markdown import table


def metrics() -> str:
    """The table of all metrics of ours."""
    rows = [(f"`{one.name}`", one.unit, one.description) for one in METRICS]
    return table(("metric", "unit", "meaning"), rows)
