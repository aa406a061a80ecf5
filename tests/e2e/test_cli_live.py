"""The command line and Temporal's own, against servers and a worker that really run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import yaml

from tests.e2e.conftest import ORDER

if TYPE_CHECKING:
    from tests.e2e.live import Live

SMALL, LARGE = '{"amount": 20.5}', '{"amount": 4000}'


def _start(live: Live, given: str, *more: str) -> str:
    name = f"order-{uuid4().hex[:8]}"
    live.steploom("start", "order", "--input", given, "--id", name, *more)
    return name


def _definitions(live: Live) -> list[str]:
    return [one["workflow_id"] for one in live.rows("SELECT workflow_id FROM workflow_definitions")]


def test_a_run_started_by_our_command_line(live: Live) -> None:
    """Its result is the same from the command, from Temporal, and from Postgres."""
    ended = live.json("start", "order", "--input", SMALL, "--wait")
    name = ended["executionId"]
    assert name.startswith("order-")
    assert ended["status"] == "completed"
    assert ended["output"] == {"charged": 20.5}
    assert ended["url"].startswith(live.info["temporalUi"])
    assert ended["url"].endswith(f"/workflows/{name}/{ended['runId']}/history")

    result = live.temporal("workflow", "result", "--workflow-id", name)
    assert result["status"] == "COMPLETED"
    assert result["result"] == {"charged": 20.5}

    row = live.row("SELECT * FROM workflow_instances WHERE execution_id = %s", name)
    assert (row["status"], row["output"]) == ("completed", {"charged": 20.5})
    assert row["user_id"] == "tester"
    step = live.row(
        "SELECT * FROM workflow_steps WHERE trace_id = %s AND step_id = 'charge'", row["trace_id"]
    )
    assert (step["status"], step["attempts"]) == ("completed", 2)
    assert step["decision"]["target"] == "done"


def test_a_run_started_by_temporals_command_line(live: Live) -> None:
    """Plain JSON in, plain JSON out, and the same record."""
    name, result = live.start_with_temporal({"workflowId": "order", "input": {"amount": 7}})
    assert result["status"] == "COMPLETED"
    assert result["result"] == {"charged": 7}
    row = live.row("SELECT * FROM workflow_instances WHERE execution_id = %s", name)
    assert (row["status"], row["output"], row["input"]) == (
        "completed",
        {"charged": 7},
        {"amount": 7},
    )
    shown = live.json("show", name)
    assert [step["path"] for step in shown["steps"]] == ["charge", "done"]


def test_search_attributes_and_summary_are_set_at_the_start(live: Live) -> None:
    """So that a run can be found in Temporal's own UI, and reads well there."""
    name = _start(live, LARGE, "--correlation-id", "c-1")
    wanted = {"Definition": "order", "CorrelationId": "c-1", "Org": "default", "Status": "running"}
    query = " AND ".join(f"Steploom{key} = '{value}'" for key, value in wanted.items())
    found = live.temporal("workflow", "list", "--query", query)
    assert [one["execution"]["workflowId"] for one in found] == [name]
    live.steploom("cancel", name)


def test_watch_tells_each_change_on_a_line(live: Live) -> None:
    """Without a terminal; as JSON lines for a program; the exit code tells how it ended."""
    name = _start(live, SMALL)
    lines = live.steploom("watch", name).stdout.splitlines()
    assert lines[-1] == f"{name}: completed"
    assert any(line.startswith("charge: completed") for line in lines)
    facts = [
        json.loads(line) for line in live.steploom("watch", name, "-o", "jsonl").stdout.splitlines()
    ]
    assert facts[-1]["status"] == "completed"


def test_approve(live: Live) -> None:
    """The step may be left out where one waits; who and why is on record."""
    name = _start(live, LARGE)
    live.wait_for(name, "waiting")
    told = live.steploom("approve", name, "--comment", "fine", "--as", "manager@example.com").stdout
    assert told.startswith("review is approved by manager@example.com.")
    shown = live.wait_for(name, "completed")
    [vote] = [vote for step in shown["steps"] for vote in step["votes"]]
    assert (vote["decision"], vote["approver"], vote["comment"]) == (
        "approved",
        "manager@example.com",
        "fine",
    )
    error = live.steploom("approve", name, "-o", "json", code=5).error
    assert error["type"] == "RefusedError"
    assert "completed already" in error["message"]


def test_reject(live: Live) -> None:
    """The run fails with ApprovalRejected, here and in Temporal."""
    name = _start(live, LARGE)
    live.wait_for(name, "waiting")
    live.steploom("reject", name, "review", "--comment", "no", "--as", "manager@example.com")
    live.steploom("watch", name, code=1)
    shown = live.json("show", name)
    assert shown["status"] == "failed"
    assert shown["error"]["type"] == "ApprovalRejected"
    result = live.temporal("workflow", "result", "--workflow-id", name)
    assert result["status"] == "FAILED"


def test_a_decision_that_is_refused_says_why(live: Live) -> None:
    """Exit code 5 with the run's own reason; nothing has changed then."""
    name = _start(live, LARGE)
    live.wait_for(name, "waiting")
    wrong_step = live.steploom("approve", name, "charge", "-o", "json", code=5).error
    assert "does not wait for a decision" in wrong_step["message"]
    payload = '{"limit": "high"}'
    misfit = live.steploom("approve", name, "--payload", payload, "-o", "json", code=5).error
    assert "does not fit the form" in misfit["message"]
    assert live.json("show", name)["status"] == "running"
    live.steploom("cancel", name)


def test_cancel(live: Live) -> None:
    """The run ends as cancelled; a second time is refused."""
    name = _start(live, LARGE)
    live.wait_for(name, "waiting")
    live.steploom("cancel", name)
    live.steploom("watch", name, code=1)
    assert live.json("show", name)["status"] == "cancelled"
    described = live.temporal("workflow", "describe", "--workflow-id", name)
    assert described["workflowExecutionInfo"]["status"] == "WORKFLOW_EXECUTION_STATUS_CANCELED"
    assert (
        "cancelled already" in live.steploom("cancel", name, "-o", "json", code=5).error["message"]
    )


def test_a_broken_document_stores_nothing(live: Live) -> None:
    """Every problem at once, exit code 2; the good document beside it is not stored either."""
    live.write("good.json", {**ORDER, "workflowId": "good-one"})
    live.write("broken.json", {**ORDER, "workflowId": "Broken One", "version": "first"})
    error = live.steploom("register", "good.json", "broken.json", "-o", "json", code=2).error
    assert [one["code"] for one in error["problems"] if one["severity"] == "error"] == [
        "invalid_id",
        "invalid_version",
    ]
    assert "good-one" not in _definitions(live)


def test_an_unregistered_task_is_refused_with_the_nearest_name(live: Live) -> None:
    """The tasks are those of --tasks, else those of the worker that runs in this folder."""
    step = {"stepId": "charge", "taskId": "charge-cart"}
    live.write("typo.json", {**ORDER, "workflowId": "typo", "steps": [step], "output": None})
    for known in ((), ("--tasks", "shop_tasks")):
        error = live.steploom("register", "typo.json", *known, "-o", "json", code=2).error
        assert any("did you mean 'charge-card'?" in one["message"] for one in error["problems"])
    assert "typo" not in _definitions(live)


def test_a_task_in_another_language_that_nobody_serves_now(live: Live) -> None:
    """The dev stack knows it by its catalogue; the step is active until somebody serves it."""
    step = {"stepId": "refund", "taskId": "refund-card", "input": {"amount": 5}}
    live.write(
        "give-back.json", {**ORDER, "workflowId": "give-back", "steps": [step], "output": None}
    )
    live.steploom("validate", "give-back.json", "--strict")
    live.steploom("register", "give-back.json")
    started = live.json("start", "give-back", "--input", '{"amount": 5}')
    name = started["executionId"]

    steps = live.wait_for(name, "active")["steps"]
    assert [(one["path"], one["status"], one["input"]) for one in steps] == [
        ("refund", "active", {"amount": 5})
    ]
    live.steploom("cancel", name)
    live.wait_for(name, "cancelled")


def test_a_task_that_no_worker_has_fails_its_step(live: Live) -> None:
    """``UnknownTask``, at once, with the record of it."""
    live.write("lost.json", {"workflowId": "lost", "name": "Lost", "version": "1.0.0",
                             "steps": [{"stepId": "a", "taskId": "nobody-has-this"}]})  # fmt: skip
    (live.folder / "elsewhere.py").write_text(
        "from steploom import task\n\n@task('nobody-has-this')\ndef lost() -> None:\n    pass\n"
    )
    live.steploom("register", "lost.json", "--tasks", "elsewhere")
    ended = live.json("start", "lost", "--wait", code=1)
    assert ended["status"] == "failed"
    assert ended["error"]["type"] == "UnknownTask"


def test_a_version_never_changes(live: Live) -> None:
    """The same content again is fine; other content is a conflict; a new version is fine."""
    document = {**ORDER, "workflowId": "stable"}
    live.write("stable.json", document)
    assert live.json("register", "stable.json")[0]["created"] is True
    assert live.json("register", "stable.json")[0]["created"] is False
    live.write("stable.json", {**document, "name": "Another"})
    error = live.steploom("register", "stable.json", "-o", "json", code=5).error
    assert "registered with other content" in error["message"]
    live.write("stable.json", {**document, "name": "Another", "version": "1.1.0"})
    live.steploom("register", "stable.json")
    shown = live.json("definitions", "show", "stable")
    assert (shown["version"], shown["versions"]) == ("1.1.0", ["1.1.0", "1.0.0"])
    assert live.json("definitions", "show", "stable", "--version", "1.0.0")["document"] == document


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["start", "nowhere"], 3, "definition 'nowhere' not found"),
        (["start", "order", "--version", "9.9.9"], 3, "version 9.9.9"),
        (["start", "order", "--org", "nobody"], 3, "org 'nobody' not found"),
        (["start", "order", "--input", '{"amount": "much"}'], 2, "nothing was started"),
        (["start", "order"], 2, "nothing was started"),
        (["show", "nothing-like-it"], 3, "not found"),
        (["watch", "nothing-like-it"], 3, "not found"),
        (["approve", "nothing-like-it"], 3, "not found"),
        (["cancel", "nothing-like-it"], 3, "not found"),
        (["definitions", "show", "nowhere"], 3, "not found"),
        (["orgs", "create", "default"], 5, "already"),
    ],
)
def test_bad_input(live: Live, args: list[str], code: int, words: str) -> None:
    """Refused with its exit code, one sentence, and the next thing to try; nothing starts."""
    before = live.row("SELECT count(*) AS runs FROM workflow_instances")
    error = live.steploom(*args, "--output", "json", code=code).error
    assert words in error["message"]
    assert error["hint"]
    assert live.row("SELECT count(*) AS runs FROM workflow_instances") == before


def test_an_input_that_is_too_large(live: Live) -> None:
    """Refused before anything starts."""
    live.write("large.json", {"amount": 1, "text": "x" * 300_000})
    error = live.steploom("start", "order", "-i", "@large.json", "-o", "json", code=2).error
    assert "at most 262144" in error["message"]


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        ({"workflowId": "order", "input": {"amount": "much"}}, "InputError"),
        ({"workflowId": "nowhere"}, "DefinitionNotFound"),
        ({"workflowId": "order", "input": {"amount": 1}, "surprise": 1}, "InputError"),
        ({"workflowId": "order", "input": {"amount": 1}, "orgId": "nobody"}, "InputError"),
        ([1, 2], "InputError"),
    ],
)
def test_bad_input_through_temporals_command_line(live: Live, start: Any, kind: str) -> None:
    """The run fails with a clear error, and its record says so."""
    name, result = live.start_with_temporal(start)
    assert result["status"] == "FAILED"
    row = live.row("SELECT * FROM workflow_instances WHERE execution_id = %s", name)
    assert (row["status"], row["error"]["type"]) == ("failed", kind)
    assert row["completed_at"] is not None


def test_a_name_is_used_once(live: Live) -> None:
    """The same ``--id`` again is a conflict."""
    name = _start(live, SMALL)
    error = live.steploom("start", "order", "-i", SMALL, "--id", name, "-o", "json", code=5).error
    assert error["type"] == "ConflictError"


def test_an_idempotency_key_starts_one_run(live: Live) -> None:
    """At once and after it has ended; another request under the same key is a conflict."""
    key = f"key-{uuid4().hex[:8]}"
    args = ("start", "order", "--idempotency-key", key, "--input")
    first = live.json(*args, SMALL)
    again = live.json(*args, SMALL)
    assert (first["existing"], again["existing"]) == (False, True)
    assert again["executionId"] == first["executionId"]
    live.wait_for(first["executionId"], "completed")
    later = live.json(*args, SMALL)
    assert (later["executionId"], later["existing"]) == (first["executionId"], True)
    error = live.steploom(*args, LARGE, "-o", "json", code=5).error
    assert "used for another request" in error["message"]
    runs = live.row("SELECT count(*) AS n FROM workflow_instances WHERE idempotency_key = %s", key)
    assert runs["n"] == 1


def test_a_document_given_inline(live: Live) -> None:
    """It runs, and is not listed."""
    live.write("draft.json", {**ORDER, "workflowId": "draft"})
    ended = live.json("start", "--inline", "draft.json", "--input", SMALL, "--wait")
    assert ended["output"] == {"charged": 20.5}
    assert "draft" not in [one["workflowId"] for one in live.json("definitions", "list")]


def test_executions_go_by_several_names(live: Live) -> None:
    """The execution id, the instance's UUID, the first digits of that."""
    name = _start(live, SMALL)
    identity = live.wait_for(name, "completed")["id"]
    for other in (identity, identity[:13]):
        assert live.json("show", other)["executionId"] == name


def test_lists_can_be_filtered_and_paged(live: Live) -> None:
    """By status, definition, correlation id and time; a page says where the next one begins."""
    mark = f"mark-{uuid4().hex[:8]}"
    names = [_start(live, SMALL, "--correlation-id", mark) for _ in range(3)]
    for name in names:
        live.wait_for(name, "completed")
    args = ("list", "--correlation-id", mark, "--status", "completed", "--since", "1h")
    page = live.json(*args, "--limit", "2")
    rest = live.json(*args, "--limit", "2", "--after", page["next"])
    found = [one["executionId"] for one in page["items"] + rest["items"]]
    assert found == names[::-1]
    assert rest["next"] is None
    assert live.json("list", "--correlation-id", mark, "--status", "failed")["items"] == []
    assert live.json("list", "--correlation-id", mark, "--workflow", "other")["items"] == []


def test_another_org_sees_nothing(live: Live) -> None:
    """What belongs to one org is not found by another."""
    name = _start(live, SMALL)
    live.wait_for(name, "completed")
    live.steploom("orgs", "create", "acme", "--name", "Acme Inc.")
    live.steploom("users", "create", "mara", "--org", "acme")
    assert [one["name"] for one in live.json("users", "list", "--org", "acme")] == ["mara"]
    assert live.json("list", "--org", "acme")["items"] == []
    live.steploom("show", name, "--org", "acme", code=3)
    live.steploom("cancel", name, "--org", "acme", code=3)
    live.steploom("start", "order", "-i", SMALL, "--org", "acme", code=3)


def test_migrate_says_what_it_did(live: Live) -> None:
    """Nothing, on a database that ``dev`` has migrated."""
    done = live.json("migrate")
    assert done["schema"]["changed"] is False
    assert done["searchAttributes"] == {"registered": [], "notRegistered": None}


@pytest.mark.parametrize(
    "args",
    [["list"], ["definitions", "list"], ["orgs", "list"], ["users", "list"], ["migrate"]],
    ids=" ".join,
)
def test_every_format(live: Live, args: list[str]) -> None:
    """Machine formats carry nothing else on stdout; the table is for people."""
    assert live.steploom(*args).stdout
    assert live.json(*args) is not None
    assert yaml.safe_load(live.steploom(*args, "-o", "yaml").stdout) is not None
    for line in live.steploom(*args, "-o", "jsonl").stdout.splitlines():
        json.loads(line)


def test_the_timeline_tells_everything(live: Live) -> None:
    """Attempts with their errors, the values that a condition read, who approved."""
    name = _start(live, LARGE)
    live.wait_for(name, "waiting")
    live.steploom("approve", name, "--as", "manager@example.com", "--payload", '{"limit": 5}')
    live.wait_for(name, "completed")
    shown = live.steploom("show", name).stdout
    for words in (
        "attempt 1: failed",
        "GatewayError 502: bad gateway",
        "condition: data.amount > 1000  is true, with data.amount = 4000",
        "approved by manager@example.com",
        f"/workflows/{name}/",
    ):
        assert words in shown
