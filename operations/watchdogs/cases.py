"""The small labelled cases that canaries are made of: events that carry the id of their run."""

from typing import Any

from operations.clock import rfc3339
from operations.events.base import Event


class Case:
    """Makes the events of one case, all at one time and in order.

    `subject_id` is the thing that they are about; it and every id hold the id of the run.
    """

    def __init__(self, check: str, now_ns: int, run_id: str) -> None:
        self.subject_id = f"canary-{run_id}"
        self._check, self._run_id, self._at = check, run_id, rfc3339(now_ns)
        self._made = 0

    def event(self, kind: type[Event], data: Any, **keys: str) -> Event:
        """Return the next event; `keys` are further fields of its envelope."""
        self._made += 1
        envelope: dict[str, Any] = {
            "event_id": f"{self._run_id}.{self._check}.{self._made}",
            "timestamp": self._at,
            "actor": "canary",
            "subject_id": self.subject_id,
            "environment": "canary",
        }
        return kind(**envelope | keys, data=data)
