"""What fails: attempts, handlers, and the errors that people get to see."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import override

from tests.workflows.documents import branch, definition, retry, step
from tests.workflows.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

TOO_MUCH = 1024 * 1024 + 1


@pytest.mark.parametrize("task_id", ["test.fail", "test.fail-local"])
async def test_each_attempt_is_on_record(stack: Stack, task_id: str) -> None:
    """Two attempts fail, the third one succeeds; all three are there, the step is completed."""
    given = {"type": "GatewayError", "code": "502", "times": 2, "then": {"ok": True}}
    result, record = await stack.run(
        definition(step("charge", task_id, input=given, retryPolicy=retry(5)))
    )
    assert result == {"ok": True}
    charge = record.step("charge")
    assert (charge.status, charge.attempts, charge.error) == ("completed", 3, None)
    assert record.attempt_statuses("charge") == ["failed", "failed", "completed"]
    first, second, third = record.attempts("charge")
    for one in (first, second):
        assert one.error is not None
        assert (one.error.type, one.error.code) == ("GatewayError", "502")
        assert one.error.message == "bad gateway"
    assert third.error is None
    assert third.output == {"ok": True}
    assert all(one.input == given for one in (first, second, third))


@pytest.mark.parametrize("task_id", ["test.fail", "test.fail-local"])
async def test_a_run_fails_when_the_attempts_are_spent(stack: Stack, task_id: str) -> None:
    """The Temporal failure has the error's type and names the step; so does the record."""
    given = {"type": "GatewayError", "code": "502", "details": {"host": "gw"}}
    error, record = await stack.run_failing(
        definition(
            step("before"),
            step("charge", task_id, input=given, retryPolicy=retry(2), name="Charge"),
            step("after"),
        )
    )
    assert error.type == "GatewayError"
    assert error.message == "step charge failed: bad gateway"
    assert error.non_retryable
    expected = {
        "type": "GatewayError",
        "code": "502",
        "message": "bad gateway",
        "details": {"host": "gw"},
        "stepId": "charge",
        "attempts": 2,
    }
    assert error.details[0] == expected
    assert record.instance.status == "failed"
    assert record.instance.error == expected
    assert record.instance.output is None
    assert record.statuses() == [("before", "completed"), ("charge", "failed")]
    charge = record.step("charge")
    assert charge.error is not None
    assert (charge.error.type, charge.attempts) == ("GatewayError", 2)
    assert charge.decision is not None
    assert charge.decision.kind == "raise"
    assert charge.completed_at is not None
    assert record.attempt_statuses("charge") == ["failed", "failed"]


@pytest.mark.parametrize("task_id", ["test.exit", "test.exit-sync"])
async def test_a_task_that_exits_ends_itself_alone(stack: Stack, task_id: str) -> None:
    """``sys.exit`` in a task is its error; the worker, and the runs of others, go on."""
    error, record = await stack.run_failing(
        definition(step("leave", task_id, input="with a word", retryPolicy=retry(2)))
    )
    assert (error.type, error.message) == ("SystemExit", "step leave failed: with a word")
    assert record.attempt_statuses("leave") == ["failed", "failed"]


async def test_text_that_is_no_text_does_not_hide_an_error(stack: Stack) -> None:
    """Half a surrogate and a null character in a message are replaced; its type stays."""
    given = {"type": "GatewayError", "message": "caf\u00e9"}
    error, _ = await stack.run_failing(
        definition(step("charge", "test.unprintable", input=given, retryPolicy=retry(1)))
    )
    assert error.type == "ValueError"
    assert error.message.startswith("step charge failed: half")


async def test_a_failed_run_emits_both_events(stack: Stack) -> None:
    """``workflow.completed`` with the outcome, and ``workflow.failed`` with the reason."""
    _, record = await stack.run_failing(definition(step("one"), step("fail", "core.fail")))
    assert [one.event_type for one in record.events] == [
        "workflow.started",
        "workflow.completed",
        "workflow.failed",
    ]
    for kind in ("workflow.completed", "workflow.failed"):
        event = record.event(kind)
        assert (event["phase"], event["outcome"]) == ("failed", "failed")
        assert (event["current_step"], event["total_steps"]) == (2, 2)
        assert event["error_message"] == "the step was told to fail"


async def test_an_exception_of_a_task_is_an_error_of_its_class(stack: Stack) -> None:
    """Three attempts by default, a second apart and then two."""
    error, record = await stack.run_failing(definition(step("call", "test.raise")))
    assert (error.type, error.message) == ("GatewayError", "step call failed: the line is dead")
    assert record.attempt_statuses("call") == ["failed"] * 3


@pytest.mark.parametrize("task_id", ["test.fail", "test.fail-local"])
async def test_errors_that_the_policy_names_are_not_retried(stack: Stack, task_id: str) -> None:
    """``nonRetryableErrors`` ends the attempts at once."""
    policy = retry(5, nonRetryableErrors=["CardDeclined"])
    error, record = await stack.run_failing(
        definition(step("charge", task_id, input={"type": "CardDeclined"}, retryPolicy=policy))
    )
    assert error.type == "CardDeclined"
    assert record.attempt_statuses("charge") == ["failed"]


async def test_errors_that_the_task_marks_are_not_retried(stack: Stack) -> None:
    """A task's ``retryable=False`` outranks the policy."""
    _, record = await stack.run_failing(
        definition(step("charge", "test.fail", input={"retryable": False}, retryPolicy=retry(5)))
    )
    assert record.attempt_statuses("charge") == ["failed"]


@pytest.mark.parametrize(
    ("error_type", "code", "target"),
    [
        ("GatewayError", "503", "later"),
        ("GatewayError", "400", "broken"),
        ("Other", "42", "by-code"),
        ("Unheard", "1", "anything"),
    ],
)
async def test_error_handlers_match_by_type_and_code(
    stack: Stack, error_type: str, code: str, target: str
) -> None:
    """The first that fits is taken, and its step has ``error`` in scope."""
    handled = {
        "input": {"saw": "${error.type}/${error.code} at ${error.stepId} #${error.attempts}"},
        "next": [],
    }
    conditions = [
        {"errorType": "GatewayError", "errorCode": "503", "nextStepId": "later"},
        {"errorType": "GatewayError", "nextStepId": "broken"},
        {"errorCode": "42", "nextStepId": "by-code"},
        {"nextStepId": "anything"},
    ]
    result, record = await stack.run(
        definition(
            step(
                "call",
                "test.fail",
                input={"type": error_type, "code": code},
                retryPolicy=retry(1),
                onFailure={"errorHandler": {"conditions": conditions}},
                next=[],
            ),
            *(
                step(name, "test.echo", **handled)
                for name in ("later", "broken", "by-code", "anything")
            ),
        )
    )
    assert result == {"saw": f"{error_type}/{code} at call #1"}
    assert record.instance.status == "completed"
    assert record.statuses() == [("call", "failed"), (target, "completed")]
    decision = record.step("call").decision
    assert decision is not None
    assert (decision.kind, decision.target) == ("handler", target)
    assert decision.evaluated[0].values == {"error.type": error_type, "error.code": code}


async def test_continue_goes_on_through_the_steps_own_next(stack: Stack) -> None:
    """With ``{}`` as its stored output, and ``error`` in the scope of its conditions."""
    result, record = await stack.run(
        definition(
            step(
                "call",
                "test.fail",
                retryPolicy=retry(1),
                onFailure={"action": "continue"},
                next=[
                    {"nextStepId": "sad", "condition": "error.type == 'GatewayError'"},
                    {"nextStepId": "glad"},
                ],
            ),
            step("glad", next=[]),
            step("sad", "test.echo", input={"output": "${steps.call.output}"}),
        )
    )
    assert result == {"output": {}}
    assert record.statuses() == [("call", "failed"), ("sad", "completed")]
    decision = record.step("call").decision
    assert decision is not None
    assert (decision.kind, decision.target) == ("continue", "sad")


async def test_the_documents_handler_takes_what_no_step_handles(stack: Stack) -> None:
    """Once in a run: a second failure ends it."""
    document = definition(
        step("first", "test.fail", retryPolicy=retry(1)),
        step("never"),
        step("rescue", "test.echo", input={"from": "${error.stepId}"}),
        step("second", "core.fail", input={"errorType": "Again"}),
        onFailure={"action": "continue", "nextStepId": "rescue"},
    )
    error, record = await stack.run_failing(document)
    assert error.type == "Again"
    assert record.statuses() == [
        ("first", "failed"),
        ("rescue", "completed"),
        ("second", "failed"),
    ]
    assert record.step("rescue").output == {"from": "first"}
    decision = record.step("first").decision
    assert decision is not None
    assert (decision.kind, decision.target) == ("global", "rescue")


async def test_a_failed_run_is_rolled_back(stack: Stack) -> None:
    """In reverse order; what could not be undone is named, and both are on record."""
    document = definition(
        step(
            "reserve",
            "test.echo",
            input={"id": "r-1"},
            compensation={"taskId": "test.echo", "input": {"release": "${output.id}"}},
        ),
        step(
            "charge",
            "test.echo",
            input={"id": "c-1"},
            compensation={
                "taskId": "test.fail",
                "input": {"type": "RefundFailed"},
                "retryPolicy": retry(1),
            },
        ),
        step("set", "core.set", input={"a": 1}, compensation={"taskId": "core.noop"}),
        step("boom", "core.fail"),
    )
    error, record = await stack.run_failing(document)
    assert error.details[0]["rollback"] == {"compensated": ["set", "reserve"], "failed": ["charge"]}
    assert record.instance.error == error.details[0]
    assert record.step("reserve").status == "completed"
    assert record.step("reserve").compensated is True
    assert record.step("charge").compensated is False
    assert record.step("set").compensated is True
    assert record.step("reserve@compensation").output == {"release": "r-1"}
    assert record.step("charge@compensation").status == "failed"


@pytest.mark.parametrize("task_id", ["test.nothing-of-the-kind", "test.ecko", "zzz"])
async def test_a_task_that_no_worker_serves_fails_its_step(stack: Stack, task_id: str) -> None:
    """At run time too, at once, with the nearest name where there is one."""
    document = definition(step("call", task_id, retryPolicy=retry(5)))
    await stack.register(document)
    error, record = await stack.run_failing(document["workflowId"])
    assert error.type == "UnknownTask"
    assert f"no worker serves the task {task_id}" in error.message
    assert ("did you mean test.echo?" in error.message) == (task_id == "test.ecko")
    assert record.attempt_statuses("call") == ["failed"]
    assert record.step("call").status == "failed"


async def test_input_that_does_not_fit_a_tasks_model_is_a_validation_error(stack: Stack) -> None:
    """With a pointer for each problem, and no second attempt."""
    error, record = await stack.run_failing(
        definition(step("quote", "test.quote", input="${input}")), {"amount": -1, "currency": 7}
    )
    assert error.type == "ValidationError"
    details = error.details[0]["details"]
    assert [one["pointer"] for one in details] == ["/amount", "/currency"]
    assert record.attempt_statuses("quote") == ["failed"]


async def test_an_input_over_the_limit_fails_the_step(stack: Stack) -> None:
    """Before anything is scheduled: Temporal would terminate the run for it."""
    double = {"a": "${data.text + data.text}", "b": "${data.text + data.text}"}
    document = definition(
        step("big", "test.bytes", input={"count": 300_000}),
        step(
            "call",
            "test.echo",
            input=double,
            onFailure={
                "errorHandler": {
                    "conditions": [{"errorType": "PayloadTooLarge", "nextStepId": "small"}]
                }
            },
            next=[],
        ),
        step("small", "test.echo", input={"saw": "${error.type}"}),
    )
    result, record = await stack.run(document)
    assert result == {"saw": "PayloadTooLarge"}
    assert record.step("call").status == "failed"
    assert record.attempts("call") == []


async def test_an_output_over_the_limit_fails_the_step(stack: Stack) -> None:
    """And is not tried again: it would be as large the next time."""
    error, record = await stack.run_failing(
        definition(step("call", "test.bytes", input={"count": TOO_MUCH}))
    )
    assert error.type == "PayloadTooLarge"
    assert record.attempt_statuses("call") == ["failed"]


async def test_a_failing_expression_fails_its_step(stack: Stack) -> None:
    """A missing field is an error, never silently false; the run's record says which one."""
    error, record = await stack.run_failing(
        definition(step("ask", next=[{"nextStepId": "b", "condition": "data.nope > 1"}]), step("b"))
    )
    assert error.type == "ExpressionError"
    ask = record.step("ask")
    assert ask.status == "failed"
    assert ask.decision is not None
    assert ask.decision.evaluated[0].expression == "data.nope > 1"
    assert ask.decision.evaluated[0].error


async def test_no_condition_true_fails_the_step(stack: Stack) -> None:
    """``NoTransitionMatched``, though its work was done and its output is on record."""
    error, record = await stack.run_failing(
        definition(
            step(
                "ask",
                "test.echo",
                input={"n": 1},
                next=[{"nextStepId": "b", "condition": "data.n > 1"}],
            ),
            step("b"),
        )
    )
    assert error.type == "NoTransitionMatched"
    ask = record.step("ask")
    assert ask.status == "failed"
    assert ask.output == {"n": 1}
    assert record.attempt_statuses("ask") == ["completed"]
    assert ask.decision is not None
    assert ask.decision.evaluated[0].values == {"data.n": 1}


async def test_a_failure_inside_a_branch_names_the_innermost_step(stack: Stack) -> None:
    """And the enclosing step's own handler takes it."""
    result, record = await stack.run(
        definition(
            step(
                "fork",
                parallelBranches=[
                    branch("x", step("x1", "core.fail", input={"errorType": "Inner"}))
                ],
                onFailure={
                    "errorHandler": {"conditions": [{"errorType": "Inner", "nextStepId": "after"}]}
                },
                next=[],
            ),
            step("after", "test.echo", input={"step": "${error.stepId}"}),
        )
    )
    assert result == {"step": "x1"}
    assert record.step("fork").status == "failed"
    assert record.step("fork/x/x1").status == "failed"


class _Web(BaseHTTPRequestHandler):
    """Answers with the status in the path, ``/flaky`` with 503 twice and then 200."""

    calls: dict[str, int]

    def _answer(self) -> None:
        self.calls[self.path] = self.calls.get(self.path, 0) + 1
        length = int(self.headers.get("content-length") or 0)
        sent = self.rfile.read(length).decode()
        if self.path.startswith("/flaky"):
            status = 503 if self.calls[self.path] < 3 else 200
        else:
            status = int(self.path.strip("/").partition("?")[0])
        body = json.dumps({"sent": sent, "method": self.command, "path": self.path}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer  # noqa: N815 (http.server's names)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@contextmanager
def _web() -> Iterator[tuple[str, dict[str, int]]]:
    calls: dict[str, int] = {}
    handler = type("Web", (_Web,), {"calls": calls})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", calls
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def web() -> Iterator[tuple[str, dict[str, int]]]:
    """A web server on loopback, and how often each of its paths was asked for."""
    with _web() as served:
        yield served


async def test_http_sends_a_request(stack: Stack, web: tuple[str, dict[str, int]]) -> None:
    """Method, query, headers and a JSON body go out; status, headers and body come in."""
    url, _ = web
    result, _ = await stack.run(
        definition(
            step(
                "call",
                "core.http",
                input={"method": "POST", "url": f"{url}/200", "body": {"a": 1}, "query": {"q": 2}},
                output={"status": "${output.status}", "body": "${output.body}"},
            )
        )
    )
    assert result["status"] == 200
    assert result["body"]["method"] == "POST"
    assert json.loads(result["body"]["sent"]) == {"a": 1}
    assert result["body"]["path"] == "/200?q=2"


async def test_http_404_is_an_error_that_is_not_retried(
    stack: Stack, web: tuple[str, dict[str, int]]
) -> None:
    """``HttpError`` with the status as its code; a handler can match it."""
    url, calls = web
    error, record = await stack.run_failing(
        definition(step("call", "core.http", input={"url": f"{url}/404"}, retryPolicy=retry(3)))
    )
    assert error.type == "HttpError"
    assert error.details[0]["code"] == "404"
    assert calls == {"/404": 1}
    assert record.attempt_statuses("call") == ["failed"]


async def test_http_expect_names_the_good_statuses(
    stack: Stack, web: tuple[str, dict[str, int]]
) -> None:
    """404 can be what one hopes for."""
    url, _ = web
    result, _ = await stack.run(
        definition(step("call", "core.http", input={"url": f"{url}/404", "expect": [404]}))
    )
    assert result["status"] == 404


async def test_http_503_is_retried(stack: Stack, web: tuple[str, dict[str, int]]) -> None:
    """Server errors, 408 and 429 are; each attempt is on record with its code."""
    url, calls = web
    _, record = await stack.run(
        definition(step("call", "core.http", input={"url": f"{url}/flaky"}, retryPolicy=retry(3)))
    )
    assert calls == {"/flaky": 3}
    assert record.attempt_statuses("call") == ["failed", "failed", "completed"]
    first = record.attempts("call")[0].error
    assert first is not None
    assert first.code == "503"


async def test_http_does_not_reach_private_addresses(stack: Stack) -> None:
    """Unless the operator allows it; nothing is sent, and nothing is tried again."""
    for url in ("http://10.255.255.1/", "http://[::1]/", "http://169.254.169.254/latest"):
        error, record = await stack.run_failing(
            definition(step("call", "core.http", input={"url": url}, retryPolicy=retry(3)))
        )
        assert error.type == "HttpError"
        assert error.details[0]["code"] == "forbidden-address"
        assert record.attempt_statuses("call") == ["failed"]
