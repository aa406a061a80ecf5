"""What a running ``steploom dev`` tells others, and who may run one in a folder.

``.steploom/dev.json`` is there exactly while everything is ready. ``.steploom/lock`` is held from
the first moment to the last: the kernel lets go of it however the process ends, so a file left
behind by a killed one is told from a living one without guessing by process ids.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from definitions.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

FOLDER = ".steploom"
_FILE = "dev.json"
_LOCK = "lock"
_TASKS = "tasks.json"
#: A look at the lock holds it for an instant; a start waits that long before it gives up.
_LOCK_SECONDS = 1.0


class DevInfo(BaseModel):
    """The addresses of a running ``steploom dev``, as in ``.steploom/dev.json``."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    temporal: str = Field(description="Temporal's frontend, host:port.")
    namespace: str
    temporal_ui: str | None = Field(alias="temporalUi", description="Base URL of Temporal's UI.")
    database: str = Field(description="The administrator's URL; it sees all tenants.")
    app: str | None = Field(default=None, description="Base URL of the page.")
    pid: int
    #: Where big values are kept. Not in the file, whose shape is for other programs.
    payloads: str | None = Field(default=None, exclude=True)


def discover(folder: Path) -> DevInfo | None:
    """The ``steploom dev`` that runs in this folder, or in one above it within the same project.

    Looks upwards as far as the first folder with ``.git`` in it.
    """
    here = folder.resolve()
    for candidate in (here, *here.parents):
        info = read(candidate)
        if info is not None and is_held(candidate):
            return info.model_copy(update={"payloads": _noted(candidate).get("payloads")})
        if (candidate / ".git").exists():
            break
    return None


def read(folder: Path) -> DevInfo | None:
    """What the folder's file says, whether or not its writer still lives."""
    try:
        return DevInfo.model_validate_json((folder / FOLDER / _FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def write(folder: Path, info: DevInfo) -> None:
    """Write the folder's file at once and whole; its owner alone can read it (a password)."""
    target = folder / FOLDER / _FILE
    partial = target.with_name(f"{_FILE}.{os.getpid()}")
    partial.touch(mode=0o600)
    partial.write_text(info.model_dump_json(by_alias=True, indent=2) + "\n")
    partial.replace(target)


def remove(folder: Path) -> None:
    """Remove the folder's files, if they are there."""
    (folder / FOLDER / _FILE).unlink(missing_ok=True)
    (folder / FOLDER / _TASKS).unlink(missing_ok=True)


def write_tasks(
    folder: Path,
    *,
    modules: Sequence[str],
    catalogues: Sequence[str],
    payloads: str | None = None,
) -> None:
    """Note what the worker works with, for the commands that need the same."""
    noted = {"modules": list(modules), "catalogues": list(catalogues), "payloads": payloads}
    (folder / FOLDER / _TASKS).write_text(json.dumps(noted) + "\n")


def served_tasks(folder: Path) -> tuple[list[str], list[str]]:
    """The task modules and catalogues of the ``steploom dev`` that runs in exactly this folder."""
    if not is_held(folder):
        return [], []
    found = _noted(folder)
    try:
        return _names(found["modules"]), _names(found["catalogues"])
    except (KeyError, TypeError):
        return [], []


def _noted(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / FOLDER / _TASKS).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _names(found: Iterable[object]) -> list[str]:
    return [str(name) for name in found]


def is_held(folder: Path) -> bool:
    """Whether a ``steploom dev`` runs in exactly this folder, or is starting or stopping."""
    try:
        with (folder / FOLDER / _LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Be the one ``steploom dev`` of this folder.

    Raises:
        RefusedError: There is one; the message has its process id and addresses.
    """
    home = folder / FOLDER
    home.mkdir(mode=0o755, exist_ok=True)
    ignore = home / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")  # a database and a password have no place in a repository
    with (home / _LOCK).open("a+", encoding="ascii") as lock:
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    lock.seek(0)
                    raise _refusal(folder, lock.read().strip()) from None
                time.sleep(0.05)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        remove(folder)  # of one that was killed
        try:
            yield
        finally:
            remove(folder)


def _refusal(folder: Path, pid: str) -> RefusedError:
    info = read(folder)
    where = (
        f"Temporal at {info.temporal}, its UI at {info.temporal_ui or 'no address'}, "
        f"Postgres at {info.database.rpartition('@')[2]}"
        if info
        else "it is still starting, or just stopping"
    )
    return RefusedError(
        f"`steploom dev` runs in {folder} already (process {pid or 'unknown'}): {where}",
        hint="use that one, or stop it with Ctrl-C or "
        + (f"`kill {pid}`" if pid else "its terminal's end"),
    )
