"""Plays the scenes on running services; prints nothing, but tells a ``Watcher`` what happens."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Protocol

from definitions.errors import SteploomError
from definitions.validation.api import validate_text
from steploom.catalogue import TaskSources, load_registry
from steploom.demo.scenes import DEFINITION, SCENES, TASKS_MODULE, differences, read_definition
from steploom.operations.acting import decide
from steploom.operations.documents import Checked, register
from steploom.operations.executions import watch
from steploom.operations.starting import parse_start, start

if TYPE_CHECKING:
    from collections.abc import Callable

    from definitions.ports import Organization
    from steploom.demo.scenes import Scene
    from steploom.operations.executions import Snapshot
    from steploom.operations.starting import StartedRun
    from steploom.services import Services

ACTOR = "demo"
#: Seconds for all scenes together; they take about ten.
_PATIENCE = 120.0
#: Seconds that a waiting approval is left to be seen.
_LOOK = 1.0
_TEND = 0.25


class Watcher(Protocol):
    """Who is told."""

    def say(self, text: str) -> None:
        """What is being done now, in a sentence."""
        ...

    def changed(self, scene: Scene, snapshot: Snapshot) -> None:
        """A run has changed."""
        ...


async def set_up(services: Services, org: Organization, watcher: Watcher) -> None:
    """Registers the definition, checked against the demo's own tasks."""
    catalogue = load_registry(TaskSources([TASKS_MODULE])).specs()
    report = validate_text(read_definition(), catalogue=catalogue)
    source = f"definitions/examples/{DEFINITION}.json"
    [stored] = await register(services, org, [Checked(source, report)], actor=ACTOR)
    how = "Registered" if stored.created else "Found"
    watcher.say(f"{how} the definition {stored.workflow_id} {stored.version} ({source}).")


async def start_scenes(services: Services, watcher: Watcher, suffix: str) -> dict[str, StartedRun]:
    """Starts one run for each scene."""
    started = {}
    for scene in SCENES:
        request = parse_start(
            {
                "workflowId": DEFINITION,
                "input": scene.read_input(),
                "userId": ACTOR,
                "correlationId": f"demo-{suffix}",
                "channel": "demo",
            }
        )
        run = await start(services, request, execution_id=f"expense-{scene.name}-{suffix}")
        watcher.say(f"Started {run.execution_id}: {scene.story}.")
        started[scene.name] = run
    return started


async def follow_scenes(
    services: Services,
    org: Organization,
    started: dict[str, StartedRun],
    watcher: Watcher,
    tend: Callable[[], None],
) -> dict[str, Snapshot]:
    """Follows all runs to their ends, and decides on those that wait.

    Raises:
        SteploomError: They did not all end in time.
    """

    async def everything() -> list[Snapshot]:
        runs = [_follow(services, org, scene, started[scene.name], watcher) for scene in SCENES]
        return await asyncio.gather(*runs)

    following = asyncio.create_task(everything())
    tending = asyncio.create_task(_tend(tend))
    both: set[asyncio.Task[Any]] = {following, tending}
    try:
        async with asyncio.timeout(_PATIENCE):
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if tending.done():
                tending.result()  # which raises: a server has ended
            ended = await following
    except TimeoutError:
        raise SteploomError(
            f"the demo's executions did not end within {_PATIENCE:.0f} s",
            hint="see .steploom/demo/worker.log",
        ) from None
    finally:
        for task in both:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, SteploomError):
                await task
    return {scene.name: snapshot for scene, snapshot in zip(SCENES, ended, strict=True)}


async def _follow(
    services: Services, org: Organization, scene: Scene, run: StartedRun, watcher: Watcher
) -> Snapshot:
    snapshot: Snapshot | None = None
    open_verdict = scene.verdict
    async for snapshot in watch(services, org, run.execution_id):
        watcher.changed(scene, snapshot)
        if open_verdict is not None and snapshot.waiting:
            verdict, open_verdict = open_verdict, None
            await asyncio.sleep(_LOOK)
            word = "approves" if verdict.decision == "approved" else "rejects"
            watcher.say(f"{verdict.approver} {word} {run.execution_id}: “{verdict.comment}”.")
            await decide(
                services,
                org,
                run.execution_id,
                decision=verdict.decision,
                approver=verdict.approver,
                comment=verdict.comment,
                payload=verdict.payload,
            )
    if snapshot is None:
        raise SteploomError(f"{run.execution_id} left no record")
    return snapshot


async def _tend(tend: Callable[[], None]) -> None:
    while True:
        tend()
        await asyncio.sleep(_TEND)


def check(ended: dict[str, Snapshot]) -> None:
    """Holds what is on record against what had to happen.

    Raises:
        SteploomError: Something is not as it has to be; all of it is named.
    """
    wrong = [line for scene in SCENES for line in differences(scene, ended[scene.name])]
    if wrong:
        raise SteploomError(
            "the demo did not go as it has to: " + "; ".join(wrong),
            hint="see .steploom/demo/worker.log, and report it",
        )
