"""Starts a purchase, follows it, approves it, and reads how it went."""

from __future__ import annotations

import json
from pathlib import Path

from steploom import Client, ExecutionFailedError

PURCHASE = json.loads((Path(__file__).parent / "purchase.json").read_text())


def main() -> None:
    """The whole way, with nothing but blocking calls."""
    with Client.connect(actor="ada@example.com") as client:
        execution = client.start(definition=PURCHASE, input={"item": "press", "amount": 9000})
        print("started", execution.id)
        for change in execution.watch():
            print(" ", change)
            if change.step == "review" and change.status == "waiting":
                shown = execution.ui(roles=["reviewer"])
                print("  to show:", [one.component_id for one in shown.components])
                execution.approve("review", comment="as agreed")
        print("result", execution.result(timeout=60))
        # This needs a database; all of the above needs Temporal only.
        for step in execution.steps():
            print(" ", step.path, step.status, f"{step.attempts or 1} attempt(s)")

        rejected = client.start(definition=PURCHASE, input={"item": "yacht", "amount": 1_000_000})
        for change in rejected.watch():
            if change.step == "review" and change.status == "waiting":
                rejected.reject("review", comment="next year")
        try:
            rejected.result()
        except ExecutionFailedError as error:
            print(error.type, "at", error.step_id)


if __name__ == "__main__":
    main()
