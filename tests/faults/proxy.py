"""A proxy to Postgres that loses answers: a commit is done, and the client sees an error."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_CHUNK = 65536
#: What commits: the word itself, and the recorder's message, which is a transaction of its own.
_COMMITS = (b"COMMIT", b"record_execution(")


class LossyProxy:
    """Forwards everything; of the answers to commits one in ``one_in`` is lost with its connection.

    ``seed`` makes the same ones fail each time, as far as the order of commits is the same.
    """

    def __init__(self, url: str, *, one_in: int, seed: int) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 5432)
        self._parts = parts
        self._one_in = one_in
        self._random = random.Random(seed)  # noqa: S311 (faults, no secrets)
        self._connections: set[asyncio.Task[None]] = set()
        self.commits = 0
        self.lost = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Listens on a free port; yields the URL of the database behind it."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        credentials, _, _ = self._parts.netloc.rpartition("@")
        try:
            yield urlunsplit(self._parts._replace(netloc=f"{credentials}@127.0.0.1:{port}"))
        finally:
            server.close()
            for task in list(self._connections):
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
            await server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        upstream, sink = await asyncio.open_connection(*self._target)
        losing = asyncio.Event()
        pumps = [
            asyncio.create_task(self._forward(reader, sink, losing)),
            asyncio.create_task(_answer(upstream, writer, losing)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for one in (writer, sink):
                one.close()
                with suppress(OSError):
                    await one.wait_closed()

    async def _forward(
        self, reader: asyncio.StreamReader, sink: asyncio.StreamWriter, losing: asyncio.Event
    ) -> None:
        while data := await reader.read(_CHUNK):
            if any(ending in data for ending in _COMMITS):
                self.commits += 1
                if self._random.randrange(self._one_in) == 0:
                    self.lost += 1
                    losing.set()
            sink.write(data)
            await sink.drain()


async def _answer(
    upstream: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: asyncio.Event
) -> None:
    while data := await upstream.read(_CHUNK):
        if losing.is_set():
            # The server has answered, so it has committed. The client never hears of it.
            return
        writer.write(data)
        await writer.drain()
