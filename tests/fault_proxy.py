"""A TCP proxy between a process and its server that holds bytes back in one or both directions.

Bytes that are held back arrive when the direction is open again, as after a real partition: TCP
sends again what was not received. `cut` closes the connections, and `refuse` takes no new ones.
"""

import asyncio
from contextlib import suppress
from typing import Self

CHUNK_BYTES = 64 * 1024


class FaultProxy:
    """Forwards to 127.0.0.1:`target_port`; use it as an async context manager."""

    def __init__(self, target_port: int) -> None:
        self.refuse = False
        self._target_port = target_port
        self._to_server = asyncio.Event()
        self._to_client = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self.heal()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def hold(self, *, to_server: bool = True, to_client: bool = True) -> None:
        """Let nothing through any more in these directions."""
        if to_server:
            self._to_server.clear()
        if to_client:
            self._to_client.clear()

    def heal(self) -> None:
        """Let everything through, what was held back first."""
        self.refuse = False
        self._to_server.set()
        self._to_client.set()

    def cut(self) -> None:
        """Close every connection; what was held back is lost."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuse:
            writer.transport.abort()
            return
        try:
            server = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, server[1]}
        for source, target, may in (
            (reader, server[1], self._to_server), (server[0], writer, self._to_client),
        ):  # fmt: skip
            task = asyncio.create_task(self._forward(source, target, may))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _forward(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, may: asyncio.Event
    ) -> None:
        with suppress(OSError):
            while data := await source.read(CHUNK_BYTES):
                await may.wait()
                target.write(data)
                await target.drain()
        target.close()
