"""Worker processes that are killed in the middle of anything, and what they run meanwhile."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from temporalio.client import WorkflowUpdateFailedError
from temporalio.service import RPCError

from definitions.names import SIGNAL_EVENT, UPDATE_DECIDE
from tests.e2e.live import environment
from tests.workflows.documents import branch, definition, retry, step
from tests.workflows.stack import until

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from tests.workflows.stack import Handle, Stack

_RETRY = retry(100)


def _work(step_id: str, kind: str, seconds: float = 0.0, **fields: Any) -> dict[str, Any]:
    """A step that works for so long; what it is given can be made more of."""
    given = {"n": "${input.n}", "seconds": seconds, **fields.pop("given", {})}
    return step(step_id, f"faults.{kind}", input=given, retryPolicy=_RETRY, **fields)


#: What each kind of run leaves no event of its own of in a history, beside what it runs.
KINDS: tuple[tuple[dict[str, Any], set[str]], ...] = (
    (
        definition(
            _work("quick", "remote"),
            _work("near", "local"),
            _work("slow", "remote", 0.4),
            _work("flaky", "remote", 0.05, given={"failing": 2}),
            step("mark", "core.set", input={"seen": "${input.n}"}),
            _work("last", "local", 0.15),
            variables={"seen": -1},
            output={"n": "${variables.seen}"},
        ),
        {"near", "mark", "last"},
    ),
    (
        definition(
            step(
                "fork",
                parallelBranches=[
                    branch("a", _work("a1", "remote", 0.2), _work("a2", "local")),
                    branch("b", _work("b1", "remote"), _work("b2", "remote", 0.3)),
                ],
            ),
            _work("each", "remote", 0.1, forEach={"items": [1, 2, 3, 4], "maxConcurrency": 2}),
            _work("last", "local"),
            output={"n": "${input.n}"},
        ),
        {"fork", "each", "last"},
    ),
    (
        definition(
            _work("before", "local", 0.05),
            step("approve", "core.approval", input={"title": "Really?"}),
            _work("between", "remote", 0.15),
            step("paid", "core.event", input={"name": "payment.settled"}),
            _work("after", "local"),
            output={"n": "${input.n}"},
        ),
        {"before", "approve", "paid", "after"},
    ),
)


class Workers:
    """Some ``steploom worker`` processes of one task queue, each started again once killed."""

    def __init__(self, folder: Path, variables: dict[str, str], count: int) -> None:
        self._folder = folder
        self._variables = variables
        self._count = count
        self._stops = ExitStack()
        self._running: list[tuple[subprocess.Popen[bytes], Path]] = []
        self.killed = 0

    def __enter__(self) -> Self:
        for _ in range(self._count):
            self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stops.close()

    def _start(self) -> None:
        log = self._folder / f"{uuid4().hex[:8]}.log"
        stream = self._stops.enter_context(log.open("wb"))
        process = subprocess.Popen(
            [sys.executable, "-m", "steploom", "worker", "--tasks", "tests.faults.work_tasks"],
            cwd=self._folder,
            env=environment(**self._variables),
            stdout=stream,
            stderr=stream,
            stdin=subprocess.DEVNULL,
        )
        self._stops.callback(process.wait)
        self._stops.callback(process.kill)
        self._running.append((process, log))

    async def kill_one(self, chance: Random) -> None:
        """Kills one that serves, once there is one, and starts another in its place."""

        async def serving() -> list[tuple[subprocess.Popen[bytes], Path]]:
            for process, log in self._running:
                assert process.poll() is None, log.read_text()
            return [one for one in self._running if b"worker_started" in one[1].read_bytes()]

        one = chance.choice(await until(serving))
        one[0].send_signal(signal.SIGKILL)
        await asyncio.to_thread(one[0].wait)
        self._running.remove(one)
        self.killed += 1
        self._start()

    def log(self) -> str:
        """What all of them have written."""
        return "\n".join(file.read_text() for file in sorted(self._folder.glob("*.log")))


async def drive(stack: Stack, number: int) -> Handle:
    """Does one run to its end, with the decision and the event that it waits for."""
    document, inline = KINDS[number % len(KINDS)]
    handle = await stack.start(document["workflowId"], {"n": number})
    if "approve" in inline:
        await handle.signal(SIGNAL_EVENT, {"name": "payment.settled", "data": {"of": number}})
        await stack.waits(handle, "approve")
        await _decide(handle)
    assert await stack.result(handle) == {"n": number}
    return handle


async def _decide(handle: Handle) -> None:
    """Gives one decision, whichever worker takes it, and however many are killed over it."""
    decision = {"stepId": "approve", "decision": "approved", "approver": "manager@example.com"}

    async def given() -> bool:
        try:
            # The same id again is the same decision.
            await handle.execute_update(UPDATE_DECIDE, decision, id=f"{handle.id}-decision")
        except WorkflowUpdateFailedError:
            raise
        except RPCError:
            return False
        return True

    await until(given)
