"""Reads what a process folds, from the first message on and for as long as the process lives.

A stream that does not answer for a while must not cost the process what it has folded, nor its
connection, on which it hears the rest of the firm. So this waits and goes on where it was. Only
another stream, or one that has lost what was folded, ends it: then everything is folded anew.
"""

from collections.abc import Sequence

from operations.adapters import stream
from operations.adapters.stream import Reader
from operations.adapters.wire import WireClient
from operations.audit import chain
from operations.audit.chain import Delivery
from operations.errors import Retryable


class StreamLost(Retryable):
    """The stream is not the one that was folded; forget what was folded and start over."""


class Follower:
    """Follows one durable consumer that passes over what the process does not fold.

    `problem` says in words why nothing can be read; empty while all is well.
    """

    def __init__(self, client: WireClient, stream_name: str, consumer: str) -> None:
        self.problem = "not started"
        self.position = 0  # the last sequence that was read
        self._client, self._stream = client, stream_name
        self._reader = Reader(client, stream_name, consumer, filtered=True)
        self._created_ns = 0
        self._reading = False

    @property
    def waiting(self) -> int:
        """How many messages have arrived and were not read yet."""
        return self._reader.waiting

    async def read(self, wait_seconds: float = 0.2) -> Sequence[Delivery]:
        """Return the next messages, none when nothing came in time or the stream does not answer.

        Raises StreamLost for another stream, and Retryable when the connection is lost.
        """
        try:
            if not self._reading:
                await self._begin()
            found = await self._reader.read(wait_seconds=wait_seconds)
        except StreamLost:
            raise
        except Retryable as error:
            if self._client.is_closed or not self._client.is_connected:
                raise
            self.problem, self._reading = str(error), False
            return ()
        self.problem = ""
        if found:
            self.position = chain.position(found[-1][1])[0]
        return found

    async def at_end(self) -> bool:
        """Whether everything that the stream holds for this process was read."""
        if self.problem:
            return False
        try:
            return not await self._reader.has_more() and not self._reader.waiting
        except Retryable as error:
            if self._client.is_closed or not self._client.is_connected:
                raise
            self.problem, self._reading = str(error), False
            return False

    async def _begin(self) -> None:
        found = await stream.info(self._client, self._stream)
        self._created_ns = self._created_ns or found.created_ns
        if found.created_ns != self._created_ns or found.state.last_seq < self.position:
            raise StreamLost(
                f"the stream {self._stream} ends at {found.state.last_seq} and was folded up to "
                f"{self.position}, or it was made anew; folding what it holds now"
            )
        await self._reader.rewind(self.position + 1)
        self._reading = True
