"""Which tasks there are: the built-in ones, those of modules, those of installed packages."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from activities.registry import TaskRegistry
from definitions.names import TASKS_ENTRY_POINT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from definitions.tasks import TaskSpec


def load_registry(modules: Iterable[str], http_allow: Iterable[str] = ()) -> TaskRegistry:
    """The registry of a worker. Modules are found from the folder that one is in, too.

    Raises:
        TaskRegistrationError: A module cannot be imported, or two tasks have one id.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    from activities.http import http_task  # noqa: PLC0415 (an HTTP client only where it is needed)

    return TaskRegistry.load(modules, builtin=[http_task(http_allow)])


def known_tasks(modules: Sequence[str]) -> Mapping[str, TaskSpec] | None:
    """The catalogue that documents are checked against; None where nobody named any tasks.

    Raises:
        TaskRegistrationError: As ``load_registry``.
    """
    if not modules and not entry_points(group=TASKS_ENTRY_POINT):
        return None
    return load_registry(modules).specs()
