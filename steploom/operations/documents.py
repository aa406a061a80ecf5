"""Documents on their way in: found, checked, and stored, all of them or none."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from definitions.canonical import content_hash
from definitions.errors import ConflictError, InvalidInputError, NotFoundError
from definitions.validation.api import MAX_TEXT_BYTES, Report, validate_text
from steploom.operations.children import check_children
from worker.rehearsal.files import is_case_file, json_below

if TYPE_CHECKING:
    from definitions.ports import Organization, StoredVersion
    from definitions.problems import Problem
    from definitions.tasks import TaskSpec
    from steploom.services import Services

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Checked:
    """A document with where it came from and what was found in it.

    ``catalogue``: the tasks that were known then.
    """

    source: str
    report: Report
    catalogue: Mapping[str, TaskSpec] | None = None

    @property
    def name(self) -> str:
        """What it says that it is: ``expense-approval 1.0.0``, or where it came from."""
        definition = self.report.definition
        return f"{definition.workflow_id} {definition.version}" if definition else self.source

    def again(self, report: Report) -> Checked:
        """The same document, with what another look at it found."""
        return replace(self, report=report)

    def ok(self, *, strict: bool = False) -> bool:
        """Whether it can be registered; ``strict``: and nobody has anything to say about it."""
        return self.report.ok and not (strict and self.report.problems)


class RejectedDocumentsError(InvalidInputError):
    """Documents that cannot be registered. ``documents`` has all that were looked at."""

    def __init__(self, documents: Sequence[Checked]) -> None:
        self.documents = list(documents)
        broken = [one for one in documents if not one.ok()]
        problems: list[Problem] = [
            problem
            for one in broken
            for problem in one.report.problems
            if problem.severity == "error"
        ]
        count = f"{len(problems)} error{'s' if len(problems) != 1 else ''}"
        names = ", ".join(one.source for one in broken)
        super().__init__(
            f"{names}: {count}; nothing was stored",
            problems=problems,
            hint="correct them; `steploom validate FILE` checks again without storing",
        )


def check_documents(
    paths: Sequence[str], catalogue: Mapping[str, TaskSpec] | None = None
) -> list[Checked]:
    """Reads and checks documents.

    Args:
        paths: Files, folders (all ``*.json`` below them but case files of ``rehearse``) and ``-``
            for stdin.
        catalogue: The tasks that are registered, where that is known.

    Raises:
        InvalidInputError: A file is not there or cannot be read, or a folder has no document.
    """
    return [
        Checked(source, validate_text(text, catalogue=catalogue), catalogue)
        for source, text in _read(paths)
    ]


def _read(paths: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    for path in paths:
        if path == STDIN:
            yield "stdin", sys.stdin.buffer.read(MAX_TEXT_BYTES + 1)
            continue
        for file in _files(Path(path)):
            yield str(file), read_file(file)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = [file for file in json_below(path) if not is_case_file(file)]
    if not found:
        raise InvalidInputError(
            f"there is no definition (*.json) below {path}", hint="name a file, or another folder"
        )
    return found


def read_file(file: Path) -> bytes:
    """A file's content, as far as a document may be long.

    Raises:
        InvalidInputError: It cannot be read.
    """
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_TEXT_BYTES + 1)
    except OSError as error:
        raise InvalidInputError(
            f"{file} cannot be read: {error.strerror or error}", hint="check the path"
        ) from None


async def register(
    services: Services, org: Organization, documents: Sequence[Checked], *, actor: str
) -> list[StoredVersion]:
    """Stores documents: all of them, or none if one is broken or in conflict.

    Raises:
        RejectedDocumentsError: One has an error, or would run itself by way of others.
        ConflictError: A version is registered with other content, or is given twice.
    """
    documents = await check_children(services, org, documents)
    if not all(one.ok() for one in documents):
        raise RejectedDocumentsError(documents)
    await _check_conflicts(services, org, documents)
    stored = []
    for one in documents:
        definition, document = one.report.definition, one.report.document
        if definition is None or not isinstance(document, dict):
            raise AssertionError("a document without errors is a definition")
        stored.append(await services.store.register(org.id, definition, document, created_by=actor))
    return stored


async def _check_conflicts(
    services: Services, org: Organization, documents: Sequence[Checked]
) -> None:
    """Sees that no document will be refused after others were stored."""
    seen: dict[tuple[str, str], tuple[str, str]] = {}
    for one in documents:
        definition, document = one.report.definition, one.report.document
        if definition is None or not isinstance(document, dict):
            continue
        key, digest = (definition.workflow_id, definition.version), content_hash(document)
        before = seen.setdefault(key, (one.source, digest))
        if before[1] != digest:
            raise ConflictError(
                f"{before[0]} and {one.source} are both {one.name}, with different content",
                hint="raise `version` in one of them",
            )
        try:
            stored = await services.store.get(org.id, *key)
        except NotFoundError:
            continue
        if stored.content_hash != digest:
            raise ConflictError(
                f"{one.source}: version {definition.version} of {definition.workflow_id!r} is "
                "registered with other content; nothing was stored",
                hint="a version never changes: raise `version` in the document",
            )
