"""How many steps a second the interpreter does offline.

Run it with ``python -m bench.rehearsal_speed``. With ``--profile`` the slowest functions
of each measurement follow it.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
from typing import Any

from worker.rehearsal.case import parse_case
from worker.rehearsal.run import rehearse

STEPS = 10_000
_NOOPS = [{"stepId": f"s{n}", "taskId": "core.noop"} for n in range(99)]
_COUNT = {"stepId": "count", "taskId": "core.set", "input": {"n": "${variables.n + 1}"}}


def _case(name: str, *steps: dict[str, Any], **tasks: Any) -> dict[str, Any]:
    """A loop over some steps that makes about ``STEPS`` steps in all."""
    body = [*steps[:-1], {**steps[-1]}]
    rounds = STEPS // len(body)
    body[-1]["next"] = [{"nextStepId": body[0]["stepId"], "condition": f"variables.n < {rounds}"}]
    body[-1]["next"].append({"nextStepId": "end"})
    definition = {
        "workflowId": "speed",
        "name": name,
        "version": "1.0.0",
        "variables": {"n": 0},
        "steps": [*body, {"stepId": "end", "taskId": "core.noop"}],
    }
    return {
        "name": name,
        "definition": definition,
        "tasks": tasks,
        "expect": {"status": "completed"},
    }


CASES = [
    _case("a line of noops", *_NOOPS, _COUNT),
    _case("core.set and a condition", _COUNT),
    _case(
        "mocked tasks with mappings",
        *(
            {
                "stepId": f"t{n}",
                "taskId": "do.it",
                "input": {"amount": "${variables.n * 2}"},
                "output": {"id": "${output.id}"},
            }
            for n in range(9)
        ),
        _COUNT,
        **{"do.it": [{"return": {"id": 7}}]},
    ),
    _case(
        "mocked tasks as they are",
        *({"stepId": f"t{n}", "taskId": "do.it"} for n in range(99)),
        _COUNT,
        **{"do.it": [{"return": {"id": 7}}]},
    ),
]


def main() -> None:
    """Measures each case and prints a line for it."""
    for value in CASES:
        case = parse_case(value)
        rehearse(case)
        began = time.perf_counter()
        result = rehearse(case)
        took = time.perf_counter() - began
        steps = len(result.path)
        print(f"{case.name}: {steps} steps, {steps / took:,.0f} steps/s")  # noqa: T201 (its output)
        if "--profile" in sys.argv:
            profile = cProfile.Profile()
            profile.runcall(rehearse, case)
            pstats.Stats(profile).sort_stats("tottime").print_stats(18)


if __name__ == "__main__":
    main()
