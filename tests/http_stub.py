"""A real HTTP service on loopback that answers as it is told."""

import asyncio
import contextlib


class Stub:
    """`answer` is sent to whoever asks; None keeps them waiting."""

    def __init__(self) -> None:
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        self.requests = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/healthz"

    async def _serve(self, reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            if self.answer is None:
                await asyncio.Event().wait()
            writer.write(self.answer)
            await writer.drain()
        writer.close()
