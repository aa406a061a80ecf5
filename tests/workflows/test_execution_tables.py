"""A real run fills the execution tables: trace, steps, nodes, events, context, bindings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.postgres import as_administrator
from tests.workflows.documents import branch, definition, retry, step

if TYPE_CHECKING:
    from tests.workflows.stack import Stack


async def test_a_run_is_seen_through_the_views(stack: Stack) -> None:
    """Its summary, timeline, nodes and failed steps tell the same as its record."""
    document = definition(
        step("quote", "test.quote", input={"amount": "${input.amount}", "currency": "EUR"}),
        step("note", "core.set", input={"total": "${steps.quote.output.total}"}),
        step(
            "fork",
            parallelBranches=[
                branch("one", step("a", "test.echo")),
                branch("two", step("b", "core.noop")),
            ],
        ),
        step(
            "break",
            "core.fail",
            input={"errorType": "Oops", "message": "no"},
            retryPolicy=retry(1),
            onFailure={"action": "continue", "nextStepId": "done"},
        ),
        step("done"),
        executionLog={"metadata": ["team"]},
    )
    _, record = await stack.run(
        document, {"amount": 10}, channel="voice", externalId="call-7", metadata={"team": "blue"}
    )
    run = record.instance

    def rows(query: str, *values: object) -> list[dict[str, Any]]:
        return as_administrator(stack.url, query, *values)

    [summary] = rows("SELECT * FROM v_workflow_execution_summary WHERE instance_id = %s", run.id)
    assert (summary["status"], summary["channel"]) == ("completed", "voice")
    assert (summary["external_id"], summary["failed_steps"]) == ("call-7", 1)
    assert summary["total_steps"] == len(record.steps) == 7
    assert summary["end_time"] == run.completed_at
    trace = summary["trace_id"]

    timeline = rows(
        "SELECT event_type, path, node_id FROM v_workflow_execution_timeline WHERE trace_id = %s"
        " ORDER BY seq, occurred_at",
        trace,
    )
    kinds = [one["event_type"] for one in timeline]
    assert (kinds[0], kinds[-1]) == ("workflow.started", "workflow.completed")
    # Every step began once and ended once, and none of them is unknown to its version.
    for step_view in record.steps:
        mine = [one["event_type"] for one in timeline if one["path"] == step_view.path]
        assert sorted(mine) == sorted(["step.started", f"step.{step_view.status}"]), step_view.path
    assert all(one["node_id"] for one in timeline if one["path"])

    [failed] = rows("SELECT * FROM v_failed_steps_analysis WHERE trace_id = %s", trace)
    assert (failed["path"], failed["error_type"], failed["error_message"]) == (
        "break", "Oops", "no",
    )  # fmt: skip
    context = rows("SELECT * FROM get_workflow_context(%s)", trace)
    assert {one["context_key"]: one["context_value"] for one in context} == {
        "metadata": {"team": "blue"},
        "variables": {"total": 12.0},
    }
    version = run.definition_version_id
    reads = rows(
        "SELECT t.step_id, b.source_path FROM workflow_data_bindings AS b"
        " JOIN workflow_nodes AS t ON t.id = b.target_node_id"
        " WHERE b.definition_version_id = %s ORDER BY b.id",
        version,
    )
    assert [tuple(one.values()) for one in reads] == [
        ("quote", "input.amount"),
        ("note", "steps.quote.output.total"),
    ]
    takes = rows(
        "SELECT r.io_type, r.field_name, r.data_type, r.is_required FROM node_io_requirements AS r"
        " JOIN workflow_nodes AS n ON n.id = r.node_id"
        " WHERE n.definition_version_id = %s AND n.step_id = 'quote' ORDER BY r.id",
        version,
    )
    assert ("input", "amount", "number", True) in [tuple(one.values()) for one in takes]
    assert ("output", "total", "number", True) in [tuple(one.values()) for one in takes]


async def test_a_run_that_could_not_begin_has_its_trace(stack: Stack) -> None:
    """Without a definition, failed, and with the reason."""
    handle = await stack.start("there-is-none")
    await stack.failure(handle)
    run = (await stack.record(handle)).instance
    [trace] = as_administrator(
        stack.url, "SELECT * FROM workflow_trace WHERE instance_id = %s", run.id
    )
    assert (trace["status"], trace["workflow_id"]) == ("failed", None)
    assert "there-is-none" in trace["error_message"]
