"""``steploom demo``: tells what the demo does while it does it, and what came of it."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steploom.cli.options import OutputOption
from steploom.cli.output import Format, Output, show_on, stderr, stdout

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from definitions.views import InstanceView
    from steploom.cli.scoreboard import Scoreboard
    from steploom.demo.stage import Stage
    from steploom.operations.reading import WholeRecord

#: The scene whose timeline is shown at the end.
_SHOWN = "conference"
_TEND_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class _Result:
    """What came of it, read back from Postgres."""

    executions: list[InstanceView]
    shown: WholeRecord
    url: str | None
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return {
            "executions": [one.to_json() for one in self.executions],
            "timeline": self.shown.to_json(),
            "url": self.url,
            "seconds": round(self.seconds, 1),
        }


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything running at the end, until Ctrl-C.")
    ] = False,
    output: OutputOption = Format.TABLE,
) -> None:
    """See it all at work: four expenses on real servers, one approved, one rejected.

    Starts Temporal, Postgres and a worker, with their data in .steploom/demo, or uses those of the
    `steploom dev` that runs in this folder. Exit 1 if anything is not on record as it has to be.
    """
    from steploom.cli.scoreboard import Scoreboard  # noqa: PLC0415 (heavy, as all of these)
    from steploom.demo.stage import open_stage  # noqa: PLC0415

    out = Output(output)
    console = stderr() if out.machine else stdout()
    board = Scoreboard(console)
    began = time.monotonic()
    with _term_is_ctrl_c(), open_stage(Path.cwd(), _sentences(board.say)) as stage:
        board.say(f"Everything runs after {time.monotonic() - began:.1f} s.")
        result = asyncio.run(_play(stage, board, began))
        if out.machine:
            out.result(result.to_json(), lambda: None)
        else:
            _show(console, result, keep=keep)
        if keep:
            _stay(console, stage)
        elif stage.own:
            console.print("Stopping the demo's servers; their data stays in .steploom/demo.")


async def _play(stage: Stage, board: Scoreboard, began: float) -> _Result:
    from steploom.demo.play import check, follow_scenes, set_up, start_scenes  # noqa: PLC0415
    from steploom.operations.executions import find  # noqa: PLC0415
    from steploom.operations.reading import read_whole  # noqa: PLC0415
    from steploom.services import open_services  # noqa: PLC0415

    async with open_services(stage.settings) as services:
        org = await services.store.find_org("default")
        await set_up(services, org, board)
        started = await start_scenes(services, board, f"{int(time.time()):x}")
        with board.live():
            await follow_scenes(services, org, started, board, stage.tend)
        # Once more, so that what is shown is what the record says now that all is over.
        ended = {name: await find(services, org, run.execution_id) for name, run in started.items()}
        check(ended)
        return _Result(
            executions=[snapshot.instance for snapshot in ended.values()],
            shown=await read_whole(services, org, started[_SHOWN].execution_id),
            url=started[_SHOWN].url,
            seconds=time.monotonic() - began,
        )


def _show(console: Console, result: _Result, *, keep: bool) -> None:
    from rich.text import Text  # noqa: PLC0415

    from steploom.cli.reading import executions_table  # noqa: PLC0415
    from steploom.cli.timeline import execution  # noqa: PLC0415

    def section(title: str, shown: RenderableType) -> None:
        console.print()
        console.print(Text(title, style="bold underline"))
        console.print()
        show_on(console, shown)

    section("All executions, as Postgres has them", executions_table(result.executions))
    section(f"One of them, step by step: {result.shown.instance.execution_id}",
            execution(result.shown, None))  # fmt: skip
    console.print()
    if result.url:
        console.print(f"The same run in Temporal's UI: {result.url}")
        if not keep:
            console.print(f"  (open while the servers run: {_program()} demo --keep)")
    console.print(f"All as it has to be, after {result.seconds:.1f} s.")
    console.print()
    if keep:
        lines = [
            f"{_program()} list",
            f"{_program()} show {result.shown.instance.execution_id}",
            f"{_program()} definitions show expense-approval",
        ]
    else:
        lines = [
            f"{_program()} demo --keep    the same, and everything stays up to look around",
            f"{_program()} dev            run your own definitions",
        ]
    where = " in another terminal, in this folder" if keep else ""
    console.print(f"Next, type{where}:")
    for line in lines:
        console.print(Text(f"  {line}"))


def _stay(console: Console, stage: Stage) -> None:
    console.print("\nEverything stays up until Ctrl-C.")
    try:
        while True:
            stage.tend()
            time.sleep(_TEND_SECONDS)
    except KeyboardInterrupt:
        console.print("Stopping; the data stays in .steploom/demo.")


@contextmanager
def _term_is_ctrl_c() -> Iterator[None]:
    """Lets SIGTERM stop everything in order, as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _sentences(say: Callable[[str], None]) -> Callable[[str], None]:
    return lambda text: say(f"{text[:1].upper()}{text[1:].rstrip('.')}.")


def _program() -> str:
    return "./dev" if Path("dev").is_file() and not shutil.which("steploom") else "steploom"
