"""Traces and metrics of real runs, as a collector receives them."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from temporalio.client import Interceptor, OutboundInterceptor, StartWorkflowInput
from temporalio.converter import PayloadConverter
from temporalio.worker import Replayer
from typing_extensions import override

from adapters.telemetry.opening import open_client_telemetry, open_telemetry
from adapters.temporal.connection import TemporalConnection, connect
from definitions.tracing import RunTrace, run_span_id, step_span_id
from tests.otlp import grpc_collector, http_collector
from tests.workflows.documents import branch, definition, retry, step
from tests.workflows.stack import Stack
from worker.process import workflow_runner
from worker.trace_headers import TraceHeaders
from worker.workflow import DefinitionWorkflow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.otlp import Collector, Received

#: In tests nothing is exported before it is asked for; the intervals are as long as they get.
_LONG = {"OTEL_BSP_SCHEDULE_DELAY": "3600000", "OTEL_METRIC_EXPORT_INTERVAL": "3600000"}


@asynccontextmanager
async def watched(
    stack: Stack,
    monkeypatch: pytest.MonkeyPatch,
    endpoint: str,
    *,
    protocol: str = "http/protobuf",
    **changes: Any,
) -> AsyncIterator[Stack]:
    """A worker with telemetry; when the body is over, everything has been exported."""
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_SERVICE_NAME": "payments",
        **_LONG,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    telemetry = open_telemetry(variables)
    assert telemetry is not None
    try:
        async with stack.worker(telemetry=telemetry, **changes) as served:
            yield served
    finally:
        await asyncio.to_thread(telemetry.close)


class Target:
    """An HTTP server that keeps the headers of its requests."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        self.url = ""


@contextmanager
def http_target() -> Iterator[Target]:
    """A server for ``core.http``."""
    target = Target()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            target.headers.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        @override
        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    target.url = f"http://127.0.0.1:{server.server_address[1]}/orders"
    try:
        yield target
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _document(url: str) -> dict[str, Any]:
    """Retries, branches, a local task, a step without a task, a request."""
    return definition(
        step("flaky", "test.fail", input={"times": 2, "then": {}}, retryPolicy=retry(3)),
        step(
            "fork",
            parallelBranches=[
                branch("left", step("l1", "test.echo", input={"side": "left"})),
                branch("right", step("r1", "test.echo-local", input={"side": "right"})),
            ],
        ),
        step("call", "core.http", input={"url": f"{url}?key=secret"}),
        step("last", "test.echo-local", input={"n": 1}),
    )


def _attempts(collector: Collector, path: str) -> list[Received]:
    found = [
        span for span in collector.named("attempt") if span.attributes["steploom.step.path"] == path
    ]
    return sorted(found, key=lambda span: int(span.attributes["steploom.attempt"]))


async def test_a_secret_in_a_url_is_in_no_span(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A webhook's address often is one, in its path."""
    monkeypatch.setenv("STEPLOOM_SECRET_HOOK", "pl4nted/in path")
    with http_collector() as collector, http_target() as target:
        async with watched(stack, monkeypatch, collector.endpoint) as served:
            url = f"{target.url}/secret://hook/end"
            await served.run(definition(step("call", "core.http", input={"url": url})))
    [request] = collector.named("GET")
    assert request.attributes["url.full"] == f"{target.url}/[redacted]/end"
    assert len(target.headers) == 1


@pytest.mark.parametrize("history_limit", [1, 3000])
@pytest.mark.parametrize("cached", [0, 1000])
async def test_a_run_is_one_trace(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, history_limit: int, cached: int
) -> None:
    """Over retries, branches, continued runs and replays: each span once, each under its parent."""
    with http_collector() as collector, http_target() as target:
        document = _document(target.url)
        async with watched(
            stack,
            monkeypatch,
            collector.endpoint,
            history_limit=history_limit,
            max_cached_workflows=cached,
        ) as served:
            handle = await served.start(document)
            await served.result(handle)
            record = await served.record(handle)
            described = await handle.describe()
    assert (described.run_id != handle.first_execution_run_id) is (history_limit == 1)
    first = str(handle.first_execution_run_id)

    assert len({span.id for span in collector.spans}) == len(collector.spans)
    expected = RunTrace.derived(first)
    assert {span.trace for span in collector.spans} == {expected.trace_id}
    assert {span.resource["service.name"] for span in collector.spans} == {"payments"}

    run = collector.one(f"run {document['workflowId']}")
    assert (run.id, run.parent, run.failed) == (run_span_id(first), "", False)
    assert run.attributes == {
        "steploom.execution.id": handle.id,
        "steploom.workflow.id": document["workflowId"],
        "steploom.workflow.version": "1.0.0",
        "steploom.org.id": str(record.instance.org_id),
        "steploom.status": "completed",
    }
    steps = {span.attributes["steploom.step.path"]: span for span in collector.named("step")}
    assert sorted(steps) == sorted(path for path, _ in record.statuses())
    for path, span in steps.items():
        assert (span.parent, span.id) == (run.id, step_span_id(first, path, 1))
        assert run.start <= span.start <= span.end

    for path, statuses in {
        "flaky": ["failed", "failed", "completed"],
        "fork/left/l1": ["completed"],
        "fork/right/r1": ["completed"],
        "call": ["completed"],
        "last": ["completed"],
    }.items():
        attempts = _attempts(collector, path)
        assert [one.attributes["steploom.status"] for one in attempts] == statuses
        assert {one.parent for one in attempts} == {steps[path].id}
        assert [one.failed for one in attempts] == [status == "failed" for status in statuses]
    failed = _attempts(collector, "flaky")[0].attributes
    assert failed["error.type"] == "GatewayError"
    assert failed["steploom.task.id"] == "test.fail"
    assert failed["steploom.step.iteration"] == 1

    ids = {span.id for span in collector.spans}
    writes = collector.named("record")
    assert {span.parent for span in writes} <= ids
    for path in ("flaky", "last"):
        for attempt in _attempts(collector, path):
            assert attempt.id in {span.parent for span in writes}

    request = collector.one("GET")
    assert request.parent == _attempts(collector, "call")[0].id
    assert request.attributes["url.full"] == target.url
    assert request.attributes["http.response.status_code"] == 200
    assert target.headers[0]["traceparent"] == f"00-{request.trace}-{request.id}-01"


async def test_a_run_goes_on_with_the_trace_of_its_client(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The span of the start is the run's parent, after the run was continued as well.

    Here outside of the workflow sandbox, as in production.
    """
    with http_collector() as collector:
        async with watched(
            stack, monkeypatch, collector.endpoint, history_limit=1, sandbox=False
        ) as served:
            opened = open_client_telemetry(
                {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
            )
            assert opened is not None
            providers, interceptor = opened
            address = stack.client.service_client.config.target_host
            client = await connect(TemporalConnection(address=address), [interceptor])
            document = definition(
                step("one", "test.echo"), step("two", "test.echo-local"), step("three", "test.echo")
            )
            await Stack(client, stack.database, stack.url, served.task_queue).run(document)
            await asyncio.to_thread(providers.close)
    start = collector.one("StartWorkflow:DefinitionWorkflow")
    run = collector.one(f"run {document['workflowId']}")
    assert (start.parent, run.parent) == ("", start.id)
    assert {span.trace for span in collector.spans} == {start.trace}
    assert len(collector.named("step")) == 3


async def test_a_child_run_is_in_its_parents_trace(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hangs from the step that has started it."""
    child = definition(step("inner", "test.echo"))
    await stack.register(child)
    document = definition(step("outer", "core.workflow", input={"workflowId": child["workflowId"]}))
    with http_collector() as collector:
        async with watched(stack, monkeypatch, collector.endpoint) as served:
            await served.run(document)
    outer = collector.one("step outer")
    assert collector.one(f"run {child['workflowId']}").parent == outer.id
    assert collector.one("step inner").parent == collector.one(f"run {child['workflowId']}").id
    assert len({span.trace for span in collector.spans}) == 1


async def test_a_trace_that_is_not_sampled_is_not_sent(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sampler of the environment decides for whole traces, those of children included."""
    child = definition(step("inner", "test.echo"))
    await stack.register(child)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    document = definition(
        step("one", "test.echo"),
        step("outer", "core.workflow", input={"workflowId": child["workflowId"]}),
    )
    with http_collector() as collector:
        async with watched(stack, monkeypatch, collector.endpoint) as served:
            await served.run(document)
    assert collector.spans == []
    assert "steploom.runs.ended" in collector.metrics


async def test_a_run_replays_with_and_without_it(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So telemetry can be turned on and off while runs are under way; a replay sends nothing."""
    document = definition(step("one", "test.echo"), step("two", "test.echo-local"))
    with http_collector() as collector:
        async with watched(stack, monkeypatch, collector.endpoint) as served:
            handle = await served.start(document)
            await served.result(handle)
        spans = len(collector.spans)
        plain = await stack.start(document)
        await stack.result(plain)
        for interceptors in ([], [TraceHeaders()]):
            replayer = Replayer(
                workflows=[DefinitionWorkflow],
                workflow_runner=workflow_runner(sandbox=True),
                interceptors=interceptors,
            )
            await replayer.replay_workflow(await handle.fetch_history())
            await replayer.replay_workflow(await plain.fetch_history())
    assert len(collector.spans) == spans > 0


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_metrics_arrive(stack: Stack, monkeypatch: pytest.MonkeyPatch, protocol: str) -> None:
    """Runs, steps, attempts and retries by what became of them; and how the recorder does."""
    receiver = grpc_collector if protocol == "grpc" else http_collector
    document = definition(
        step("flaky", "test.fail", input={"times": 1, "then": {}}, retryPolicy=retry(2)),
        step("bad", "test.fail", retryPolicy=retry(1)),
    )
    name = document["workflowId"]
    with receiver() as collector:
        async with watched(stack, monkeypatch, collector.endpoint, protocol=protocol) as served:
            await served.run_failing(document)

    def counted(metric: str) -> list[tuple[dict[str, Any], float]]:
        found = [(dict(one.attributes), one.value) for one in collector.metrics[metric]]
        return sorted(found, key=lambda one: json.dumps(one[0], sort_keys=True))

    assert counted("steploom.runs.started") == [({"steploom.workflow.id": name}, 1)]
    assert counted("steploom.runs.ended") == [
        ({"steploom.workflow.id": name, "steploom.status": "failed"}, 1)
    ]
    task = {"steploom.task.id": "test.fail"}
    assert counted("steploom.steps") == [
        ({**task, "steploom.status": "completed"}, 1),
        ({**task, "steploom.status": "failed"}, 1),
    ]
    assert counted("steploom.attempts") == [
        ({**task, "steploom.status": "completed"}, 1),
        ({**task, "steploom.status": "failed"}, 2),
    ]
    assert counted("steploom.retries") == [(task, 1)]
    assert sum(one.count for one in collector.metrics["steploom.attempt.duration"]) == 3
    assert sum(one.count for one in collector.metrics["steploom.step.duration"]) == 2
    assert collector.metrics["steploom.run.duration"][0].count == 1
    assert counted("steploom.recorder.queue.length") == [({}, 0)]
    assert counted("steploom.recorder.queue.age") == [({}, 0)]
    commits = collector.metrics["steploom.recorder.commit.duration"][0]
    writes = collector.metrics["steploom.recorder.commit.writes"][0]
    assert commits.count == writes.count > 0
    assert writes.value == len(collector.named("record"))
    assert collector.one(f"run {name}").failed
    assert collector.one("step bad").attributes["error.type"] == "GatewayError"


async def test_a_dead_endpoint_changes_nothing_but_one_line(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Runs go on; the worker says once that nothing arrives, and so do the exporters not at all."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
        with structlog.testing.capture_logs() as logs:
            async with watched(stack, monkeypatch, endpoint) as served:
                for _ in range(3):
                    result, _ = await served.run(definition(step("one", "test.echo")), {"n": 1})
                    assert result == {"n": 1}
    said = [one for one in logs if str(one["event"]).startswith("telemetry")]
    assert [one["event"] for one in said] == ["telemetry_not_exported"]
    assert not [one for one in caplog.records if one.name.startswith("opentelemetry")]


async def test_logs_of_an_attempt_say_where_they_come_from(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Execution, step, attempt and trace are bound while a task runs."""
    seen: list[dict[str, Any]] = []

    def keep(_: Any, __: str, event: Any) -> Any:
        seen.append(dict(event))
        raise structlog.DropEvent

    with http_collector() as collector:
        async with watched(stack, monkeypatch, collector.endpoint) as served:
            before = structlog.get_config()["processors"]
            structlog.configure(processors=[structlog.contextvars.merge_contextvars, keep])
            try:
                handle = await served.start(
                    definition(step("bad", "test.fail", retryPolicy=retry(1)))
                )
                await served.failure(handle)
            finally:
                structlog.configure(processors=before)
    line = next(one for one in seen if one["event"] == "attempt_failed")
    [attempt] = _attempts(collector, "bad")
    assert (line["execution"], line["step"], line["attempt"]) == (handle.id, "bad", 1)
    assert (line["trace_id"], line["span_id"]) == (attempt.trace, attempt.id)


async def test_a_header_that_is_none_of_ours_stops_nothing(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever somebody sends as a trace: the run goes on, in a trace of its own."""

    class Bad(OutboundInterceptor):
        @override
        async def start_workflow(self, input: StartWorkflowInput) -> Any:
            payload = PayloadConverter.default.to_payload({"traceparent": ["x"], "tracestate": 3})
            input.headers = {"_tracer-data": payload}
            return await super().start_workflow(input)

    class Sender(Interceptor):
        @override
        def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
            return Bad(next)

    with http_collector() as collector:
        async with watched(stack, monkeypatch, collector.endpoint) as served:
            address = stack.client.service_client.config.target_host
            client = await connect(TemporalConnection(address=address), [Sender()])
            sender = Stack(client, stack.database, stack.url, served.task_queue)
            handle = await sender.start(definition(step("one", "test.echo")))
            await sender.result(handle)
    first = str(handle.first_execution_run_id)
    assert {span.trace for span in collector.spans} == {RunTrace.derived(first).trace_id}
