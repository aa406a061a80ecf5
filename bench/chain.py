"""The ten steps that every side does: each adds one to the number that the one before it gave."""

from __future__ import annotations

from typing import Any, Literal

STEPS = 10
VERSION = "1.0.0"

Mode = Literal["local", "remote"]


def definition(mode: Mode) -> dict[str, Any]:
    """The ten steps as a definition of ours; its tasks are those of ``bench.tasks``."""
    return {
        "workflowId": f"bench-{mode}",
        "name": f"Ten {mode} steps",
        "version": VERSION,
        "steps": [
            {
                "stepId": f"s{number}",
                "taskId": f"bench.add-{mode}",
                "input": {
                    "n": "${input.n}" if number == 1 else f"${{steps.s{number - 1}.output.n}}"
                },
            }
            for number in range(1, STEPS + 1)
        ],
        "output": {"n": f"${{steps.s{STEPS}.output.n}}"},
    }


def wanted(number: int) -> dict[str, int]:
    """What a run that was started with a number has to end with, on every side."""
    return {"n": number + STEPS}
