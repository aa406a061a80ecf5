"""``steploom demo``, for real, in a folder with a space in its name."""

from __future__ import annotations

import json
import time

from steploom import devinfo
from tests.e2e.live import Live, run_steploom, work_folder

STATUSES = {
    "expense-lunch": "completed",
    "expense-conference": "completed",
    "expense-typing-error": "completed",
    "expense-espresso-machine": "failed",
}


def test_the_demo_by_itself() -> None:
    """It tells what it does, shows the record, takes less than a minute, leaves no process."""
    with work_folder() as folder:
        began = time.monotonic()
        done = run_steploom(folder, "demo", timeout=180)
        assert done.code == 0, done
        assert time.monotonic() - began < 60
        for words in (
            "Registered the definition expense-approval 1.0.0",
            "conference: manager-approval: waiting",
            "manager@example.com approves expense-conference-",
            "manager@example.com rejects expense-espresso-machine-",
            "attempt 1 failed, GatewayError 502",
            "ReceiptMismatch total: the lines add up to 301.50, and 319.50 are claimed",
            "reserve-budget: completed, undone",
            "All executions, as Postgres has them",
            "with data.amount = 1846.2",
            "approved by manager@example.com",
            "The same run in Temporal's UI: http://",
            "Next, type",
        ):
            assert words in done.stdout
        assert "\x1b" not in done.stdout
        assert done.stderr == ""
        assert not devinfo.is_held(folder)
        assert (folder / ".steploom" / "demo" / "postgres").exists()


def test_the_demo_on_a_running_dev(live: Live) -> None:
    """It uses what runs, with a worker of its own, and leaves its runs there to be looked at."""
    done = run_steploom(live.folder, "demo", "--output", "json", timeout=180)
    assert done.code == 0, done
    result = json.loads(done.stdout)
    for one in result["executions"]:
        assert STATUSES[one["executionId"].rpartition("-")[0]] == one["status"]
        row = live.row(
            "SELECT status FROM workflow_instances WHERE execution_id = %s", one["executionId"]
        )
        assert row["status"] == one["status"]
    steps = {step["path"]: step for step in result["timeline"]["steps"]}
    assert [one["status"] for one in steps["reimburse"]["attemptRecords"]] == [
        "failed",
        "completed",
    ]
    assert result["url"].startswith(live.info["temporalUi"])
    # The stack's own worker still serves its own queue.
    assert (
        live.json("start", "order", "--input", '{"amount": 1}', "--wait")["status"] == "completed"
    )
