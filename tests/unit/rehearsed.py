"""Case files for the tests of ``rehearse``: good ones, bad ones, broken ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DEFINITION = {
    "workflowId": "shop",
    "name": "Shop",
    "version": "1.0.0",
    "steps": [
        {
            "stepId": "charge",
            "taskId": "charge",
            "next": [{"nextStepId": "big", "condition": "data.n > 10"}, {"nextStepId": "small"}],
        },
        {"stepId": "big", "taskId": "core.noop", "next": []},
        {"stepId": "small", "taskId": "core.noop"},
    ],
}
GOOD = {
    "name": "A small amount",
    "definition": DEFINITION,
    "tasks": {"charge": [{"after": "PT3S", "return": {"n": 1}}]},
    "expect": {"status": "completed", "path": ["charge", "small"], "elapsed": "PT3S"},
}
BAD = {**GOOD, "name": "a big amount", "expect": {"path": ["charge", "big"]}}
STUCK = {**GOOD, "name": "hangs", "tasks": {"charge": [{"hang": True}]}}
BROKEN = {"name": "broken", "definition": DEFINITION, "tasks": {"charge": []}, "expect": {"p": 1}}


def write(name: str, value: Any) -> str:
    """Writes a file, its folder if need be; returns its name."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return name
