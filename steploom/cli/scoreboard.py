"""The demo's runs side by side: a live table on a terminal, a line for each change elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from steploom.cli.tables import status, table
from steploom.operations.changes import Changes

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from steploom.demo.scenes import Scene
    from steploom.operations.executions import Snapshot

_BAR = 24


class Scoreboard:
    """A watcher (``steploom.demo.play``) that shows what it is told."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._latest: dict[str, tuple[Scene, Snapshot]] = {}
        self._changes: dict[str, Changes] = {}
        self._live: Live | None = None

    @contextmanager
    def live(self) -> Iterator[None]:
        """Shows the runs until the end of the block."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, refresh_per_second=8) as self._live:
            yield
        self._live = None

    def say(self, text: str) -> None:
        """Says what is being done."""
        self._console.print(Text(text))

    def changed(self, scene: Scene, snapshot: Snapshot) -> None:
        """Shows a run that has changed."""
        self._latest[scene.name] = scene, snapshot
        if self._live is not None:
            self._live.update(self._picture())
            return
        for change in self._changes.setdefault(scene.name, Changes()).of(snapshot):
            self._console.print(Text(f"  {scene.name}: {change.text}"))

    def _picture(self) -> RenderableType:
        shown = table("EXPENSE", "STATUS", "AT STEP", "", "STEPS")
        for scene, snapshot in self._latest.values():
            done = [
                step for step in snapshot.steps if step.path in scene.path and step.completed_at
            ]
            ended = snapshot.instance.status.ended
            total = len(scene.path)
            shown.add_row(
                scene.name,
                status(snapshot.instance.status),
                Text("" if ended else _place(snapshot)),
                ProgressBar(total=total, completed=min(len(done), total), width=_BAR),
                f"{len(done)}/{total}",
            )
        return shown


def _place(snapshot: Snapshot) -> str:
    """Where a run stands, with what is worth knowing of it."""
    if snapshot.waiting:
        return f"{snapshot.waiting[0].path}, waits for a person"
    active = [step for step in snapshot.steps if not step.completed_at]
    if not active:
        return snapshot.instance.current_step_id or ""
    step = active[-1]
    failed = sum(1 for attempt in step.attempt_records if attempt.error)
    return f"{step.path}, {failed} failed" if failed else step.path
