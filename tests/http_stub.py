"""A real HTTP service on loopback that answers as it is told."""

import asyncio
import contextlib


class Stub:
    """`answer` is sent to whoever asks; None keeps them waiting."""

    def __init__(self) -> None:
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        self.requests = []
        self._writers = []
        self._over = asyncio.Event()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._over.set()
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/healthz"

    async def _serve(self, reader, writer):
        self._writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            if self.answer is None:
                await self._over.wait()
            writer.write(self.answer or b"")
            await writer.drain()
        writer.close()
