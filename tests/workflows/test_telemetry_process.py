"""Telemetry as an operator turns it on: by environment variables, for processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.otlp import grpc_collector, http_collector
from tests.workflows.documents import definition, step
from tests.workflows.stack import Stack, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

ROOT = Path(__file__).parents[2]
#: The command line, which says at its end what it has imported of OpenTelemetry.
_TELLING = """
import sys
from steploom.cli import app, leaving
leave = leaving.leave
def tell(code):
    loaded = sorted(name for name in sys.modules if name.split(".")[0] == "opentelemetry")
    sys.stderr.write(f"loaded: {loaded}\\n")
    leave(code)
app.leave = tell
app.main()
"""
_PARENT = "0af7651916cd43dd8448eb211c80319c"


def _environment(stack: Stack, queue: str, variables: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("STEPLOOM_", "TEMPORAL_", "OTEL_"))
    }
    settings = stack.settings()
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "STEPLOOM_TEMPORAL_ADDRESS": settings.temporal_address or "",
        "STEPLOOM_TEMPORAL_NAMESPACE": settings.temporal_namespace,
        "STEPLOOM_DATABASE_URL": stack.url,
        "STEPLOOM_TASK_QUEUE": queue,
        **variables,
    }


@contextmanager
def worker(environment: Mapping[str, str], log: Path) -> Iterator[None]:
    """A worker process that is asked to stop at the end, and does."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", _TELLING, "worker"], env=environment, stdout=out, stderr=out
        )
        try:
            yield
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()


def start(environment: Mapping[str, str], document: Path) -> subprocess.CompletedProcess[str]:
    """``steploom start`` that waits for the end."""
    done = subprocess.run(
        [sys.executable, "-c", _TELLING,
         "start", "--inline", str(document), "--wait", "--output", "json"],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_the_environment_turns_it_on(stack: Stack, tmp_path: Path, protocol: str) -> None:
    """A command's own trace has the run in it; the metrics of Temporal's SDK come as well."""
    document = definition(step("one", "core.noop"))
    file = tmp_path / "document.json"
    file.write_text(json.dumps(document))
    receiver = grpc_collector if protocol == "grpc" else http_collector
    with receiver() as collector:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_RESOURCE_ATTRIBUTES": "service.name=orders,deployment.environment=test",
            "OTEL_METRIC_EXPORT_INTERVAL": "200",
            "TRACEPARENT": f"00-{_PARENT}-b7ad6b7169203331-01",
        }
        environment = _environment(stack, f"otel-{uuid4().hex[:8]}", variables)
        with worker(environment, tmp_path / "worker.log"):
            start(environment, file)

            async def native() -> bool:
                return any(name.startswith("temporal_") for name in collector.metrics)

            await until(native)
    begun = collector.one("StartWorkflow:DefinitionWorkflow")
    run = collector.one(f"run {document['workflowId']}")
    assert (begun.trace, begun.parent) == (_PARENT, "b7ad6b7169203331")
    assert (run.trace, run.parent) == (_PARENT, begun.id)
    assert run.resource["service.name"] == "orders"
    assert run.resource["deployment.environment"] == "test"
    assert {one["service.name"] for one in collector.resources} == {"orders"}
    assert collector.metrics["steploom.runs.ended"][0].value == 1


async def test_without_the_variables_nothing_of_it_is_imported(
    stack: Stack, tmp_path: Path
) -> None:
    """Neither by a worker that has run something nor by a command that has started it."""
    file = tmp_path / "document.json"
    file.write_text(json.dumps(definition(step("one", "core.noop"))))
    environment = _environment(stack, f"plain-{uuid4().hex[:8]}", {})
    log = tmp_path / "worker.log"
    with worker(environment, log):
        done = start(environment, file)
    assert "loaded: []" in done.stderr
    assert "loaded: []" in log.read_text()


async def test_a_dead_endpoint_holds_nobody_up(stack: Stack, tmp_path: Path) -> None:
    """The command's output is as ever; the worker says once that nothing arrives, and ends well."""
    file = tmp_path / "document.json"
    file.write_text(json.dumps(definition(step("one", "core.noop"))))
    variables = {
        # Nothing ever listens on the discard port.
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_METRIC_EXPORT_INTERVAL": "100",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    }
    environment = _environment(stack, f"dead-{uuid4().hex[:8]}", variables)
    log = tmp_path / "worker.log"
    with worker(environment, log):
        for _ in range(2):
            done = start(environment, file)
            assert json.loads(done.stdout)["status"] == "completed"
            told = [line for line in done.stderr.splitlines() if not line.startswith("loaded")]
            assert not [line for line in told if "telemetry" in line or "127.0.0.1:9" in line]
        await until(_said(log))
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    warnings = [line["message"] for line in lines if line["level"] in {"warning", "error"}]
    assert warnings == ["telemetry_not_exported"]


def _said(log: Path) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return "telemetry_not_exported" in await asyncio.to_thread(log.read_text)

    return look
