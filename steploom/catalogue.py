"""Which tasks there are: built-in ones, those of modules and packages, those that are declared."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from activities.registry import TaskRegistry
from definitions.declared import read_catalogue
from definitions.errors import InvalidInputError
from definitions.names import TASKS_ENTRY_POINT
from definitions.problems import Problem, pointer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from definitions.tasks import TaskSpec


class BrokenCatalogueError(InvalidInputError):
    """Task catalogues with errors. ``files`` has the name of each problem's file."""

    def __init__(self, files: Sequence[str], problems: Sequence[Problem]) -> None:
        self.files = list(files)
        names = ", ".join(dict.fromkeys(files))
        count = f"{len(problems)} error{'s' if len(problems) != 1 else ''}"
        super().__init__(
            f"the task catalogue {names} has {count}",
            problems=problems,
            hint="correct it; `steploom schema catalogue` is its JSON Schema, for editors",
        )


@dataclass(frozen=True, slots=True)
class TaskSources:
    """Where tasks are said to be: Python modules, and task catalogues (files)."""

    modules: Sequence[str] = ()
    catalogues: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.modules or self.catalogues)


def load_registry(sources: TaskSources, http_allow: Iterable[str] = ()) -> TaskRegistry:
    """The registry of a worker. Modules are found from the folder that one is in, too.

    Raises:
        TaskRegistrationError: A module cannot be imported, or two tasks have one id.
        InvalidInputError: A catalogue cannot be read, or has errors (``BrokenCatalogueError``).
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    from activities.http import http_task  # noqa: PLC0415 (an HTTP client only where it is needed)

    registry = TaskRegistry.load(sources.modules, builtin=[http_task(http_allow)])
    for spec, place in _declared(sources.catalogues):
        registry.declare(spec, place)
    return registry


def known_tasks(sources: TaskSources) -> Mapping[str, TaskSpec] | None:
    """The catalogue that documents are checked against; None where nobody named any tasks.

    Raises:
        SteploomError: As ``load_registry``.
    """
    if not sources and not entry_points(group=TASKS_ENTRY_POINT):
        return None
    return load_registry(sources).specs()


def _declared(catalogues: Sequence[str]) -> list[tuple[TaskSpec, str]]:
    """The declared tasks, each with its place; every problem of every file at once."""
    found: list[tuple[TaskSpec, str]] = []
    files: list[str] = []
    problems: list[Problem] = []
    for name in _each_once(catalogues):
        read = read_catalogue(_content(Path(name)))
        files += [name] * len(read.problems)
        problems += read.problems
        for index, spec in enumerate(read.specs):
            found.append((spec, f"{name}:{pointer('tasks', index)}"))
    if problems:
        raise BrokenCatalogueError(files, problems)
    return found


def _each_once(names: Sequence[str]) -> list[str]:
    """A file that is named twice (a setting and an option) is one file."""
    return list({Path(name).resolve(): name for name in reversed(names)}.values())[::-1]


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidInputError(
            f"the task catalogue {file} cannot be read: {error.strerror or error}",
            hint="check the path in --catalogue or STEPLOOM_CATALOGUE",
        ) from None
