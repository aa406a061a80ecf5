"""The processes in which transforms are evaluated: few, kept, and replaced when one was killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from definitions.errors import SteploomError, UnreachableError
from definitions.jsongate import JsonGateError, loads
from definitions.start import MAX_RUN_VALUE_BYTES

if TYPE_CHECKING:
    from types import TracebackType

    from definitions.document import Transform
    from definitions.jsontypes import Json

_CHILD = Path(__file__).with_name("child.py")
_LENGTH = struct.Struct(">I")
#: Seconds in which a child has to be there. Machines are slow at times.
_START_SECONDS = 60.0
#: Seconds of processor time for one transform. An honest one takes less than a millisecond.
DEADLINE = 2.0
#: Times the deadline that an answer may take by the clock, on a machine with more to do.
_PATIENCE = 30
#: Bytes of a child's address space: its libraries take about a fifth.
MEMORY = 512 * 1024 * 1024
#: The allocator of JSONata's library would reserve a gigabyte of it at once (this is in KiB).
_ENVIRONMENT = {"MIMALLOC_ARENA_RESERVE": "65536"}
#: The exit code of a child whose timer has ended it.
_OUT_OF_TIME = -signal.SIGPROF
#: What a child says when it is there.
_READY = b"{}"
#: How the answer of a child ends that ends itself.
_SPENT = b'"spent": true}'


class TransformError(SteploomError):
    """A transform that failed on its event, or that took too much."""


class Transforms:
    """Evaluates transforms. An asynchronous context manager; ``close`` does the same.

    Args:
        size: How many are evaluated at a time, each in a process of its own.
        deadline: Seconds of processor time that one may take.
    """

    def __init__(self, size: int = 2, *, deadline: float = DEADLINE) -> None:
        self._deadline = deadline
        # None stands for a child that is to be started when it is needed.
        self._idle: asyncio.LifoQueue[_Child | None] = asyncio.LifoQueue()
        for _ in range(size):
            self._idle.put_nowait(None)
        self._children: set[_Child] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the processes."""
        for child in list(self._children):
            await self._drop(child)

    async def apply(self, transform: Transform, value: Json) -> Json:
        """What a transform makes of a value.

        Returns:
            JSON that has passed the gate, at most ``MAX_RUN_VALUE_BYTES`` of it.

        Raises:
            TransformError: It fails on the value, takes too much time or memory, or its result is
                too large or no JSON.
            UnreachableError: No process can be started for it.
        """
        request = _request(transform, value)
        child = await self._idle.get()
        usable: _Child | None = None
        try:
            if child is None:
                child = await _start(self._deadline)
                self._children.add(child)
            answer = await asyncio.wait_for(child.ask(request), _PATIENCE * self._deadline)
            if not answer.endswith(_SPENT):
                usable = child
        except TimeoutError:
            raise _too_long(self._deadline) from None
        except (asyncio.IncompleteReadError, ConnectionError):
            if child is not None and await child.ended() == _OUT_OF_TIME:
                raise _too_long(self._deadline) from None
            raise TransformError("the transform takes too much memory") from None
        finally:
            if usable is None and child is not None:
                await self._drop(child)
            self._idle.put_nowait(usable)
        return _read_answer(answer)

    async def _drop(self, child: _Child) -> None:
        self._children.discard(child)
        await child.kill()


class _Child:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, request: bytes) -> bytes:
        source, sink = self._process.stdout, self._process.stdin
        if source is None or sink is None:
            raise AssertionError("both are pipes")
        if request:
            sink.write(_LENGTH.pack(len(request)) + request)
            await sink.drain()
        (length,) = _LENGTH.unpack(await source.readexactly(_LENGTH.size))
        return await source.readexactly(length)

    async def ended(self) -> int:
        """The exit code of a child that has closed its pipes."""
        return await self._process.wait()

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()


def _too_long(deadline: float) -> TransformError:
    return TransformError(f"the transform takes more than {deadline:g} seconds")


def _command(deadline: float) -> list[str]:
    bounds = [str(MEMORY), str(deadline), str(MAX_RUN_VALUE_BYTES)]
    return [sys.executable, "-I", str(_CHILD), *bounds, json.dumps(sys.path)]


def _request(transform: Transform, value: Json) -> bytes:
    asked = {"type": transform.type, "expression": transform.expression, "value": value}
    return json.dumps(asked).encode()


def apply_once(transform: Transform, value: Json, *, deadline: float = DEADLINE) -> Json:
    """As ``Transforms.apply``, in a process for this one, without an event loop.

    Raises:
        TransformError: As there.
    """
    request = _request(transform, value)
    try:
        done = subprocess.run(  # noqa: S603 (our own file, and a list)
            _command(deadline),
            input=_LENGTH.pack(len(request)) + request,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_ENVIRONMENT,
            timeout=_START_SECONDS + _PATIENCE * deadline,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _too_long(deadline) from None
    # It begins with saying that it is there.
    answer = done.stdout[2 * _LENGTH.size + len(_READY) :]
    if done.returncode == _OUT_OF_TIME:
        raise _too_long(deadline)
    if done.returncode or not answer:
        raise TransformError("the transform takes too much memory")
    return _read_answer(answer)


async def _start(deadline: float) -> _Child:
    try:
        process = await asyncio.create_subprocess_exec(
            *_command(deadline),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=_ENVIRONMENT,
        )
    except OSError as error:
        raise _not_started(str(error)) from error
    child = _Child(process)
    try:
        # It says so when its libraries are loaded: that is nobody's deadline.
        await asyncio.wait_for(child.ask(b""), _START_SECONDS)
    except (TimeoutError, asyncio.IncompleteReadError) as error:
        await child.kill()
        raise _not_started("it does not answer") from error
    except asyncio.CancelledError:
        await child.kill()
        raise
    return child


def _not_started(reason: str) -> UnreachableError:
    # The machine's fault, not the transform's: to be tried again.
    return UnreachableError(
        "Transforms", f"the process that evaluates transforms does not start: {reason}"
    )


def _read_answer(answer: bytes) -> Json:
    try:
        # A little more than the value: what stands around it.
        read: Any = loads(answer, max_bytes=MAX_RUN_VALUE_BYTES + 1024)
    except JsonGateError as error:
        raise TransformError(f"the transform's result is unusable: {error.message}") from None
    if "error" in read:
        raise TransformError(f"the transform fails: {read['error']}")
    return read["value"]
