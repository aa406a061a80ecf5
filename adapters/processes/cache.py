"""Where programs are kept that are fetched or made once, for all who run as this user."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from definitions.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Told in a sentence what is going on.
Progress = Callable[[str], None]


class WayFailedError(Exception):
    """One way to get a program does not work here. The message says why."""


def cache_dir() -> Path:
    """Where programs are kept that are made once: STEPLOOM_CACHE_DIR, or the user's cache."""
    named = os.environ.get("STEPLOOM_CACHE_DIR")
    if named:
        return Path(named).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache").absolute() / "steploom"


@contextlib.contextmanager
def alone(folder: Path, *, service: str, what: str, progress: Progress) -> Iterator[None]:
    """Lets one process at a time fill a folder of the cache; the others wait for what it makes.

    Args:
        folder: Made if need be.
        service: What does not answer when this fails, such as ``Temporal``.
        what: The program, in a sentence such as ``Temporal's test server``.
        progress: Told when there is another process to wait for.

    Raises:
        UnreachableError: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise UnreachableError(
            service,
            f"the cache {folder} for {what} cannot be written: {error}",
            hint="set STEPLOOM_CACHE_DIR to a folder that can",
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            progress(f"waiting for another process that prepares {what}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
