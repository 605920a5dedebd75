"""What happens next? Steps in the order of their time, each of which may plan more."""

import heapq
from collections.abc import Callable, Iterable, Iterator

from operations.events.base import Event

Step = Callable[[int], Iterable[Event]]


class Agenda:
    """Planned steps; equal times run in the order in which they were planned."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Step]] = []
        self._count = 0

    def plan(self, at_ns: int, step: Step) -> None:
        """Run a step at a time, in nanoseconds since 1970."""
        self._count += 1
        heapq.heappush(self._heap, (at_ns, self._count, step))

    def run(self) -> Iterator[Event]:
        """Yield what the steps say, in time order, until nothing is planned."""
        heap = self._heap
        while heap:
            at_ns, _, step = heapq.heappop(heap)
            yield from step(at_ns)
