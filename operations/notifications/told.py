"""What each channel was told: the other side of the comparison that decides.

A thread is one conversation with a channel about one episode, or about the several of a digest.
"""

from collections.abc import Collection

from msgspec import Struct

DIGEST = "digest"
ALONE = ("first_message", "over_before_told")  # reasons of messages that count as a burst


class Thread(Struct, frozen=True, kw_only=True):
    """What a channel was told. `episodes` are names of beginnings, `paged_ns` when it last rang.

    `title` is that of the one episode that it is about, for when nobody knows that one any more.
    """

    key: str
    channel: str
    episodes: tuple[str, ...]
    title: str = ""
    severity: str
    pages: int = 1
    paged_ns: int = 0
    acknowledged: bool = False
    closed: bool = False


class Told(Struct, kw_only=True):
    """Threads by key, and when each channel was told alone and by digest. Times in ns.

    `unsent` are the keys of threads of which a message waits to be sent.
    """

    threads: dict[str, Thread] = {}
    alone_ns: dict[str, tuple[int, ...]] = {}
    digest_ns: dict[str, int] = {}
    unsent: frozenset[str] = frozenset()

    def note(self, thread: Thread, reason: str, at_ns: int, since_ns: int = 0) -> None:
        """Take what was decided; `since_ns` is from when on a burst is counted."""
        channel = thread.channel
        self.threads[thread.key] = thread
        self.count(channel, reason, at_ns, since_ns)

    def count(self, channel: str, reason: str, at_ns: int, since_ns: int = 0) -> None:
        """Count a message as one of a burst, or as a digest."""
        if reason == DIGEST:
            self.digest_ns[channel] = at_ns
        elif reason in ALONE:
            lately = [at for at in self.alone_ns.get(channel, ()) if at > since_ns]
            self.alone_ns[channel] = (*lately, at_ns)

    def forget(self, left: Collection[str]) -> None:
        """Drop the closed threads about nothing of what is left."""
        for key, thread in list(self.threads.items()):
            if thread.closed and not any(name in left for name in thread.episodes):
                del self.threads[key]
