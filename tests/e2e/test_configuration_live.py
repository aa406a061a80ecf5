"""Configurations from the command line to a run: made, activated, taken, and refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.live import Live

LIMITS = {
    "workflowId": "limits",
    "name": "Limits",
    "version": "1.0.0",
    "steps": [{"stepId": "tell", "taskId": "core.noop", "output": {"limit": "${config.limit}"}}],
}


def test_what_is_configured_reaches_a_run(live: Live) -> None:
    """By its channel, until the channel is disabled; on record is what it was pinned to."""
    live.write("limits.json", LIMITS)
    live.steploom("register", "limits.json")
    live.steploom("configs", "create", '{"limit": 5}', "--workflow", "limits", "--activate")
    live.steploom(
        *("configs", "create", '{"limit": 9}', "--workflow", "limits"),
        *("--channel", "voice", "--activate"),
    )
    live.steploom("channels", "set", "voice", "--workflow", "limits", "--priority", "3")
    ended = live.json("start", "limits", "--wait")
    assert ended["output"] == {"limit": 9}
    trace = live.row(
        "SELECT t.channel, t.config_snapshot FROM workflow_trace AS t"
        " JOIN workflow_instances AS i ON i.id = t.instance_id WHERE i.execution_id = %s",
        ended["executionId"],
    )
    assert trace == {"channel": "voice", "config_snapshot": {"limit": 9}}
    assert live.json("start", "limits", "--channel", "web", "--wait")["output"] == {"limit": 5}
    live.steploom("channels", "set", "voice", "--workflow", "limits", "--disable")
    error = live.steploom("start", "limits", "--channel", "voice", "-o", "json", code=2).error
    assert "the channel voice is disabled" in error["message"]
    assert "steploom channels list" in error["hint"]
    _, result = live.start_with_temporal({"workflowId": "limits", "channel": "voice"})
    assert result["status"] == "FAILED"
    assert live.json("start", "limits", "--wait")["output"] == {"limit": 5}
