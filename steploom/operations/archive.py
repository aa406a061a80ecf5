"""The files that old executions and audit events are written to before they are removed.

Gzipped JSON lines: a file for each execution, ``<org>/<year>/<month>/<instance id>.jsonl.gz``, and
one for each portion of an audit chain, ``<org>/audit/<first>-<last>.jsonl.gz``. ``manifest.jsonl``
has a line for each file: what it holds, and the SHA-256 of its bytes. A file is there as a whole or
not at all, and the manifest names only files that are on the disk. The same execution again gives
the same bytes, so whoever was interrupted begins again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import zlib
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from definitions.errors import InvalidInputError, RefusedError, SteploomError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MANIFEST = "manifest.jsonl"
_LOCK = ".lock"
_PARTIAL = ".part"
#: What has zlib write the format of gzip.
_GZIP = 16 + zlib.MAX_WBITS


class Archive:
    """A directory of such files, ours alone while it is open."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def check(self) -> None:
        """Returns where a directory is, or can be.

        Raises:
            InvalidInputError: There is something else.
        """
        for place in (self._directory, *self._directory.parents):
            if place.exists() and not place.is_dir():
                raise InvalidInputError(
                    f"{place} is not a directory, so no archive can be there",
                    hint="name a directory; it is made where there is none",
                )

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Holds the directory; it is made where it is not there.

        Raises:
            InvalidInputError: It is something else than a directory.
            RefusedError: Somebody else holds it.
            SteploomError: It cannot be written to.
        """
        try:
            self.check()
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self._directory / _LOCK).open("a", encoding="ascii")
        except OSError as error:
            raise self._unwritable(error) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RefusedError(
                    f"another `steploom cleanup` or `audit prune` writes to {self._directory}",
                    hint="wait until it has ended",
                ) from None
            try:
                self._tidy()
            except OSError as error:
                raise self._unwritable(error) from error
            yield

    @contextmanager
    def file(self, name: str) -> Iterator[ArchiveFile]:
        """A file to write lines to. Afterwards it is on the disk, under its name.

        Unless its body raises: then there is none.

        Raises:
            SteploomError: It cannot be written.
        """
        target = self._directory / name
        partial = target.with_name(target.name + _PARTIAL)
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with partial.open("wb") as file:
                partial.chmod(0o600)
                writing = ArchiveFile(name, file)
                yield writing
                writing.close()
                os.fsync(file.fileno())
            partial.replace(target)
            folder = target.parent
            while folder != self._directory.parent:
                _sync(folder)
                folder = folder.parent
        except OSError as error:
            raise self._unwritable(error) from error
        finally:
            with suppress(OSError):
                partial.unlink()

    def note(self, entries: Sequence[dict[str, Any]]) -> None:
        """Adds lines to the manifest; returns when they are on the disk."""
        try:
            with (self._directory / MANIFEST).open("ab") as manifest:
                for entry in entries:
                    manifest.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
                manifest.flush()
                os.fsync(manifest.fileno())
            _sync(self._directory)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> SteploomError:
        return SteploomError(
            f"the archive {self._directory} cannot be written: {error.strerror or error}"
        )

    def _tidy(self) -> None:
        """Takes away what an interrupted run has left half written."""
        for partial in self._directory.rglob(f"*{_PARTIAL}"):
            partial.unlink(missing_ok=True)
        manifest = self._directory / MANIFEST
        if manifest.exists():
            text = manifest.read_bytes()
            whole = text.rfind(b"\n") + 1
            if whole < len(text):
                os.truncate(manifest, whole)


class ArchiveFile:
    """A file of the archive, while it is written."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        self.name = name
        self.size = 0
        self.lines = 0
        self._file = file
        self._hash = hashlib.sha256()
        # No time in its header (and no name): the same lines are the same bytes.
        self._zip = zlib.compressobj(wbits=_GZIP)

    def line(self, line: bytes) -> None:
        """Adds a line of JSON."""
        self.lines += 1
        self._write(self._zip.compress(line + b"\n"))

    def close(self) -> None:
        """Writes what is left."""
        self._write(self._zip.flush())
        self._file.flush()

    def facts(self) -> dict[str, Any]:
        """What the manifest says of it: its place, its lines, its bytes and their SHA-256."""
        return {
            "file": self.name,
            "lines": self.lines,
            "size": self.size,
            "sha256": self._hash.hexdigest(),
        }

    def _write(self, data: bytes) -> None:
        self._hash.update(data)
        self.size += len(data)
        self._file.write(data)


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
