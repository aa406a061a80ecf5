"""Where the demo plays: servers of its own, or those that run or are named already.

Servers of its own keep their data in ``.steploom/demo``, apart from what ``steploom dev`` keeps. On
servers that others use, the demo's worker has a task queue of its own, because a worker without the
demo's tasks would take the demo's steps.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from steploom.demo.scenes import TASKS_MODULE
from steploom.dev import DevStack
from steploom.devinfo import FOLDER, discover
from steploom.devoptions import DevOptions
from steploom.services import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.settings import Settings

_QUEUE = "steploom-demo"


@dataclass(frozen=True, slots=True)
class Stage:
    """The running servers and worker. ``own``: nobody else uses them."""

    settings: Settings
    tend: Callable[[], None]
    own: bool


@contextlib.contextmanager
def open_stage(folder: Path, say: Callable[[str], None]) -> Iterator[Stage]:
    """Brings up what is missing; stops what it has started.

    Raises:
        UnreachableError: A server cannot be started or reached.
        SteploomError: The worker does not come up.
    """
    home = folder / FOLDER / "demo"
    running = discover(folder)
    settings = load_settings()
    environment: dict[str, str] = {}
    if running is not None:
        say(f"Using the `steploom dev` that runs here: Temporal at {running.temporal}.")
        environment = {
            "STEPLOOM_TEMPORAL_ADDRESS": running.temporal,
            "STEPLOOM_TEMPORAL_NAMESPACE": running.namespace,
            "STEPLOOM_TEMPORAL_UI_URL": running.temporal_ui or "",
            "STEPLOOM_DATABASE_URL": running.database,
        }
    own = running is None and settings.temporal_address is None
    if not own:
        environment["STEPLOOM_TASK_QUEUE"] = _QUEUE
    home.mkdir(parents=True, exist_ok=True)
    options = DevOptions(
        # Held there, a `steploom dev` that runs here is not in the way.
        folder=folder if running is None else home,
        data_dir=home,
        tasks=[TASKS_MODULE],
        worker_log=home / "worker.log",
    )
    with _environment(environment), DevStack(options, say) as stack:
        info = stack.info
        found = {
            "temporal_address": info.temporal,
            "temporal_namespace": info.namespace,
            "temporal_ui_url": info.temporal_ui,
            "database_url": SecretStr(info.database),
        }
        yield Stage(load_settings().model_copy(update=found), stack.tend, own)


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """The variables are set inside: the worker that is started there inherits them."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
