"""Polls every service that is ordered, each at its own pace, and publishes what is worth saying."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping

from operations.adapters.health_poll import Answer, ask
from operations.adapters.steps import Step, onward
from operations.adapters.tasks import end_tasks
from operations.clock import now_ns, rfc3339
from operations.events.operations import Poll, ServicePolled
from operations.events.registry import Service
from operations.measuring import Allowed, Course, pause_seconds

LOOK_SECONDS = 0.25
Say = Callable[[ServicePolled], Awaitable[object]]


class Polling:
    """One task for each service. `refused` says which may not be fetched, and why."""

    def __init__(self, allowed: Allowed, say: Say, at: Step = onward) -> None:
        self.refused: dict[str, str] = {}
        self.red: set[str] = set()
        self.polls = 0
        self._allowed, self._say, self._at = allowed, say, at
        self._tasks: dict[str, tuple[Service, asyncio.Task[None]]] = {}

    async def run(self, services: Mapping[str, Service]) -> None:
        """Follow the services until cancelled; raises what one of the tasks raised."""
        try:
            while True:
                self._follow(services)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await end_tasks(*(task for _, task in self._tasks.values()))

    def _follow(self, services: Mapping[str, Service]) -> None:
        for name, (service, task) in list(self._tasks.items()):
            if task.done():
                task.result()
            if services.get(name) != service:
                task.cancel()
                del self._tasks[name]
                self.red.discard(name)
        self.refused = {
            name: why
            for name, service in services.items()
            if (why := self._allowed.refusal(service.healthz_url))
        }
        for name, service in services.items():
            if name not in self._tasks and name not in self.refused:
                self._tasks[name] = service, asyncio.create_task(self._poll(service))

    async def _poll(self, service: Service) -> None:
        course = Course()
        while True:
            answer = await ask(service.healthz_url, service.timeout_ms)
            self.polls += 1
            polled_ns = now_ns()
            course, said = course.after(healthy=answer.healthy, now_ns=polled_ns)
            (self.red.discard if answer.healthy else self.red.add)(service.name)
            self._at("polled")
            if said:
                await self._say(_event(service, answer, course, polled_ns))
                self._at("poll said")
            await asyncio.sleep(pause_seconds(service, course.reds, random.random()))  # noqa: S311 (jitter)


def _event(service: Service, answer: Answer, course: Course, polled_ns: int) -> ServicePolled:
    poll = Poll(
        service=service.name,
        healthy=answer.healthy,
        latency_ms=answer.latency_ms,
        status=answer.status,
        consecutive_failures=course.reds,
        reason=answer.reason,
    )
    return ServicePolled(timestamp=rfc3339(polled_ns), subject_id=service.name, data=poll)
