"""The payload store in files: ``<directory>/<org>/<2 digits>/<sha256>.json``.

All workers, and whoever cleans up, see the same directory. A file is there as a whole or not at
all, and its time is that of the last time it was stored.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ParamSpec, TypeVar
from uuid import uuid4

from definitions.errors import NotFoundError, UnreachableError
from definitions.ports import StoredPayload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path
    from uuid import UUID

_SUFFIX = ".json"
_HASH = re.compile(r"[0-9a-f]{64}")
#: What is written, or about to be removed, has one of these names.
_PARTIAL, _CONDEMNED = ".part", ".gone"
#: Seconds after which nobody is still writing a file.
_LATELY = 24 * 3600.0

_P = ParamSpec("_P")
_T = TypeVar("_T")


class FilePayloads:
    """The ``definitions.ports.PayloadStore`` in a directory, which is made when it is needed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def put(self, org_id: UUID, sha256: str, content: bytes) -> None:
        """Stores bytes under their hash; what is there already becomes as new."""
        await self._do(_put, self._file(org_id, sha256), content)

    async def get(self, org_id: UUID, sha256: str) -> bytes:
        """What was stored under a hash."""
        content = await self._do(_read, self._file(org_id, sha256))
        if content is None:
            raise NotFoundError("payload", sha256)
        return content

    async def stored(self, org_id: UUID) -> AsyncIterator[StoredPayload]:
        """Everything that an org has stored. What a crash has left half done is tidied up."""
        for found in await self._do(_list, self._folder(org_id)):
            yield found

    async def remove(self, org_id: UUID, sha256: str, *, before: datetime) -> bool:
        """Removes what was last put there before a time; returns whether it did."""
        return await self._do(_remove, self._file(org_id, sha256), before.timestamp())

    def _folder(self, org_id: UUID) -> Path:
        return self._directory / str(org_id)

    def _file(self, org_id: UUID, sha256: str) -> Path:
        return self._folder(org_id) / sha256[:2] / f"{sha256}{_SUFFIX}"

    async def _do(self, function: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
        try:
            return await asyncio.to_thread(function, *arguments, **named)
        except OSError as error:
            raise UnreachableError(
                "the payload store",
                f"the payload store {self._directory} cannot be used: {error.strerror or error}",
                hint="see STEPLOOM_PAYLOADS",
            ) from error


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def _put(file: Path, content: bytes) -> None:
    try:
        if file.read_bytes() == content:
            os.utime(file)
            return
    except FileNotFoundError:
        pass
    folder = file.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = folder / f"{file.stem}.{uuid4().hex}{_PARTIAL}"
    try:
        with partial.open("xb") as opened:
            partial.chmod(0o600)
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        partial.replace(file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    # The new names, those of the folders above included.
    for above in (folder, folder.parent, folder.parent.parent):
        _sync(above)


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _remove(file: Path, before: float) -> bool:
    try:
        if file.stat().st_mtime >= before:
            return False
        condemned = file.with_name(f"{file.stem}.{uuid4().hex}{_CONDEMNED}")
        file.rename(condemned)
        return _execute(condemned, file, before)
    except FileNotFoundError:
        return False


def _execute(condemned: Path, file: Path, before: float) -> bool:
    if condemned.stat().st_mtime >= before:
        # Somebody has stored it meanwhile, and believes it to be there.
        condemned.replace(file)
        return False
    condemned.unlink()
    return True


def _list(folder: Path) -> list[StoredPayload]:
    found = []
    lately = time.time() - _LATELY
    for file in sorted(folder.glob("??/*")):
        with suppress(FileNotFoundError):
            facts = file.stat()
            sha256 = file.name.partition(".")[0]
            if file.suffix == _CONDEMNED:
                _execute(file, file.with_name(f"{sha256}{_SUFFIX}"), lately)
            elif file.suffix == _PARTIAL and facts.st_mtime < lately:
                file.unlink()
            elif file.name == f"{sha256}{_SUFFIX}" and _HASH.fullmatch(sha256):
                stored_at = datetime.fromtimestamp(facts.st_mtime, UTC)
                found.append(StoredPayload(sha256, facts.st_size, stored_at))
    return found
