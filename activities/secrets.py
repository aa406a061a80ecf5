"""``secret://name``: references in a task's input, resolved inside the activity.

Only the reference stands in definitions, in Temporal's history and on record. What it stands for is
known to the process that runs the task, and to nobody after it: the redactor learns every value
that is read, and takes it out of outputs, errors, records and logs.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from activities.watching import HIDE
from definitions.errors import TaskError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from definitions.jsontypes import Json
    from definitions.redaction import Redactor

#: A secret called ``name`` is in STEPLOOM_SECRET_NAME.
PREFIX = "STEPLOOM_SECRET_"
_REFERENCE = re.compile(r"secret://([A-Za-z0-9][A-Za-z0-9._-]{0,127})")


class Secrets:
    """The secrets that this worker can read.

    Args:
        directory: Files named after the secrets; those of one org in a folder named by its id.
        redactor: Learns every value.
        environment: Where ``STEPLOOM_SECRET_*`` is looked up.
    """

    def __init__(
        self,
        directory: Path | None,
        redactor: Redactor,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._directory = directory
        self._redactor = redactor
        self._environment = environment
        # Known before the first task: a value can also turn up where nobody asked for it by name.
        redactor.learn(value for name, value in environment.items() if name.startswith(PREFIX))
        if directory is not None and directory.is_dir():
            redactor.learn(_read(file) for file in sorted(directory.rglob("*")) if file.is_file())

    def resolve(self, value: Json, org_id: UUID) -> Json:
        """A task's input with the secrets in the place of their references.

        Raises:
            TaskError: ``SecretNotFound``: there is no such secret, for this org.
        """
        if isinstance(value, str):
            return _REFERENCE.sub(lambda match: self._find(match[1], org_id), value)
        if isinstance(value, dict):
            return {key: self.resolve(member, org_id) for key, member in value.items()}
        if isinstance(value, list):
            return [self.resolve(item, org_id) for item in value]
        return value

    def _find(self, name: str, org_id: UUID) -> str:
        found = self._in_files(name, org_id)
        if found is None:
            found = self._environment.get(PREFIX + re.sub(r"[.-]", "_", name).upper())
        if found is None:
            raise TaskError(
                f"there is no secret {name}: a worker reads it from {PREFIX}… or from a file in "
                "STEPLOOM_SECRETS_DIR",
                type="SecretNotFound",
                retryable=False,
            )
        self._redactor.learn([found])
        HIDE.set(self._redactor.text)
        return found

    def _in_files(self, name: str, org_id: UUID) -> str | None:
        if self._directory is None or ".." in name:
            return None
        for folder in (self._directory / str(org_id), self._directory):
            file = folder / name
            if file.is_file():
                return _read(file)
        return None


def has_reference(value: Any) -> bool:
    """Whether a value names any secret."""
    if isinstance(value, str):
        return "secret://" in value
    if isinstance(value, dict):
        return any(map(has_reference, value.values()))
    return isinstance(value, list) and any(map(has_reference, value))


def _read(file: Path) -> str:
    # A file written by an editor, or by Kubernetes, may end with a newline that is no part of it.
    return file.read_text(encoding="utf-8", errors="replace").rstrip("\r\n")
