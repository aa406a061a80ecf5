"""What ``steploom dev`` can be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class DevOptions:
    """Where to keep what, and which ports; those that are not given are free ones."""

    folder: Path = field(default_factory=Path.cwd)
    #: Where the servers keep their data; ``.steploom`` in the folder if None.
    data_dir: Path | None = None
    temporal_port: int | None = None
    ui_port: int | None = None
    database_port: int | None = None
    #: Python modules with tasks, beside those of STEPLOOM_TASKS.
    tasks: Sequence[str] = ()
    #: Task catalogues, beside those of STEPLOOM_CATALOGUE.
    catalogues: Sequence[str] = ()
    #: Where the worker writes; our stderr if None.
    worker_log: Path | None = None
