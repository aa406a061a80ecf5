"""A proxy that can be shut, to have a server be away for one client alone."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_CHUNK = 65536


class Door:
    """Forwards to ``host:port`` while it is open; shut, it ends every connection."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._open = True
        self._connections: set[asyncio.Task[None]] = set()
        #: Connections that found it shut.
        self.refused = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Listens on a free port; yields ``host:port``."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        try:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            await self.shut()
            await server.wait_closed()

    async def shut(self) -> None:
        """Nobody gets through any more."""
        self._open = False
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def open(self) -> None:
        """Whoever comes now gets through."""
        self._open = True

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._open:
            self.refused += 1
            writer.close()
            return
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        upstream, sink = await asyncio.open_connection(*self._target)
        pumps = [
            asyncio.create_task(_forward(reader, sink)),
            asyncio.create_task(_forward(upstream, writer)),
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


async def _forward(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await source.read(_CHUNK):
            sink.write(data)
            await sink.drain()
