"""A worker process that dies or is stopped in the middle of a step: nothing is lost."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import pytest_asyncio

from adapters.postgres.database import Database
from adapters.temporal.connection import TemporalConnection, connect
from adapters.temporal.search_attributes import register
from tests.e2e.live import environment, work_folder
from tests.workflows.documents import definition, step
from tests.workflows.stack import Stack, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

_TASKS = '''
from __future__ import annotations

import asyncio
from pathlib import Path

from steploom import TaskContext, task


@task("slow")
async def slow(given: dict[str, str], context: TaskContext) -> dict[str, object]:
    """Says that it has begun, and goes on when the file ``open`` is there."""
    folder = Path(given["folder"])
    folder.joinpath(f"entered-{context.attempt}").touch()
    while not folder.joinpath("open").exists():
        await asyncio.sleep(0.05)
    return {"attempt": context.attempt, "key": context.idempotency_key}
'''

DOCUMENT = definition(
    step("before", "core.noop"),
    step("slow", "slow", input={"folder": "${input.folder}"}),
    step("after", "core.set", input={"seen": "${data.attempt}"}),
    output="${steps.slow.output}",
)


class Worker:
    """``steploom worker`` as a process of its own, started as often as a test likes."""

    def __init__(self, folder: Path, variables: dict[str, str], stops: ExitStack) -> None:
        self.folder = folder
        self._variables = variables
        self._stops = stops
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, and returns at once: a run waits for it anyway."""
        log = self._stops.enter_context((self.folder / f"{uuid4().hex[:8]}.log").open("wb"))
        process = subprocess.Popen(
            [sys.executable, "-m", "steploom", "worker", "--tasks", "slow_tasks"],
            cwd=self.folder,
            env=environment(**self._variables),
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
        self._stops.callback(process.wait)
        self._stops.callback(process.kill)
        self._process = process

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Its exit code, once it has ended."""
        process = self._process
        assert process is not None
        return await asyncio.to_thread(process.wait, 60)

    def log(self) -> str:
        """What all of them have written."""
        return "\n".join(file.read_text() for file in sorted(self.folder.glob("*.log")))


@pytest.fixture
def folder() -> Iterator[Path]:
    """The folder of the worker, with its tasks."""
    with work_folder() as made:
        made.joinpath("slow_tasks.py").write_text(_TASKS)
        yield made


@pytest_asyncio.fixture
async def stack(temporal_address: str, database_url: str) -> AsyncIterator[Stack]:
    """A client's view; the worker is the test's own."""
    client = await connect(TemporalConnection(address=temporal_address))
    await register(client)
    async with Database(database_url) as database:
        yield Stack(client, database, database_url, f"killed-{uuid4().hex[:8]}")


@pytest.fixture
def worker(folder: Path, stack: Stack, temporal_address: str) -> Iterator[Worker]:
    """The worker process, not yet started."""
    with ExitStack() as stops:
        variables = {
            "STEPLOOM_TEMPORAL_ADDRESS": temporal_address,
            "STEPLOOM_DATABASE_URL": stack.url,
            "STEPLOOM_TASK_QUEUE": stack.task_queue,
            "STEPLOOM_LIVENESS_TIMEOUT": "4",
            "STEPLOOM_GRACEFUL_SHUTDOWN": "20",
        }
        yield Worker(folder, variables, stops)


async def begun(worker: Worker, attempt: int) -> None:
    """Returns when this attempt of the step has begun."""
    file = worker.folder / f"entered-{attempt}"

    async def there() -> bool:
        return file.exists()

    try:
        await until(there)
    except TimeoutError:
        raise AssertionError(worker.log()) from None


async def test_a_killed_workers_step_is_done_by_the_next_worker(
    stack: Stack, worker: Worker
) -> None:
    """SIGKILL in the middle of a remote step: the run ends completed, both attempts on record."""
    await stack.register(DOCUMENT)
    worker.start()
    handle = await stack.start(DOCUMENT["workflowId"], {"folder": str(worker.folder)})
    await begun(worker, 1)
    await stack.recorded(handle, lambda record: ("slow", "active") in record.statuses())
    worker.signal(signal.SIGKILL)
    assert await worker.ended() == -signal.SIGKILL

    worker.start()
    await begun(worker, 2)
    worker.folder.joinpath("open").touch()
    result: dict[str, Any] = await stack.result(handle)
    assert result == {"attempt": 2, "key": f"{handle.result_run_id}:slow:1"}

    record = await stack.record(handle)
    assert record.instance.status == "completed"
    assert record.statuses() == [
        ("before", "completed"),
        ("slow", "completed"),
        ("after", "completed"),
    ]
    lost, done = record.attempts("slow")
    assert (lost.attempt, lost.status) == (1, "timeout")
    assert lost.error is not None
    assert (lost.error.type, lost.error.code) == ("TimeoutError", "AttemptLost")
    assert lost.completed_at is not None
    assert (done.attempt, done.status, done.error) == (2, "completed", None)
    assert done.worker != lost.worker
    assert record.step("slow").attempts == 2
    assert record.step("slow").error is None
    assert record.event("workflow.completed")["outcome"] == "success"


async def test_a_stopped_worker_lets_its_step_finish(stack: Stack, worker: Worker) -> None:
    """SIGTERM: the step that runs has its end on record before the process ends, well."""
    await stack.register(DOCUMENT)
    worker.start()
    handle = await stack.start(DOCUMENT["workflowId"], {"folder": str(worker.folder)})
    await begun(worker, 1)
    worker.signal(signal.SIGTERM)

    async def stopping() -> bool:
        return "worker_stopping" in worker.log()

    await until(stopping)
    worker.folder.joinpath("open").touch()
    assert await worker.ended() == 0, worker.log()
    assert (await stack.record(handle)).attempt_statuses("slow") == ["completed"]

    worker.start()
    assert (await stack.result(handle))["attempt"] == 1
    record = await stack.record(handle)
    assert record.instance.status == "completed"
    assert record.attempt_statuses("slow") == ["completed"]


async def test_a_step_that_outlives_the_grace_is_done_again(stack: Stack, worker: Worker) -> None:
    """Its attempt ends with the worker and is on record so; the next worker makes the next one."""
    worker._variables["STEPLOOM_GRACEFUL_SHUTDOWN"] = "1"
    await stack.register(DOCUMENT)
    worker.start()
    handle = await stack.start(DOCUMENT["workflowId"], {"folder": str(worker.folder)})
    await begun(worker, 1)
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0, worker.log()
    record = await stack.record(handle)
    assert record.attempt_statuses("slow") == ["cancelled"]
    assert record.instance.status == "running"

    worker.start()
    await begun(worker, 2)
    worker.folder.joinpath("open").touch()
    assert (await stack.result(handle))["attempt"] == 2
    record = await stack.record(handle)
    assert record.attempt_statuses("slow") == ["cancelled", "completed"]
    assert record.step("slow").status == "completed"
