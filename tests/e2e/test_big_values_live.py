"""Big values with ``steploom dev``, which has a payload store without being told where."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.live import Live

SCAN = {
    "workflowId": "scan",
    "name": "Scan",
    "version": "1.0.0",
    "steps": [
        {"stepId": "scan", "taskId": "scan-pages"},
        {"stepId": "count", "taskId": "count-letters", "input": "${data.pages}"},
    ],
}


def test_a_big_value_is_kept_beside_the_database(live: Live) -> None:
    """Commands in the folder read the same store."""
    live.write("scan.json", SCAN)
    ended = live.json("start", "--inline", "scan.json", "--wait")
    assert ended["output"] == {"letters": 2_000_000}
    shown = live.json("show", ended["executionId"])
    output = shown["steps"][0]["output"]
    assert output["count"] == 2
    sha256 = output["pages"]["$steploom.payload"]["sha256"]
    [stored] = (live.folder / ".steploom" / "payloads").rglob("*.json")
    assert stored.stem == sha256
    assert live.steploom("payload", "get", sha256).json == ["p" * 1_000_000] * 2
    cleaned = live.json("cleanup", "--dry-run", "--older-than", "1")
    assert (cleaned["executions"], cleaned["payloads"]) == (0, 0)
