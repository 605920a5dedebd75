"""Actions, section 12 of docs/oms-protocol.md: what this client enforces, and what it answers.

It holds no positions and no options, so a target of size, gross or theta is refused; a throttle, a
cooldown and a shadow let nothing pass that increases, and everything of this client increases.
"""

from typing import Any

from oms_client_wire import nanoseconds

PERSONAL = ("reduce_allocation", "shadow", "hedge", "reduce_gross")
ENFORCED = ("throttle", "cooldown", "shadow")
CODES = {"throttle": "THROTTLED", "cooldown": "COOLDOWN", "shadow": "SHADOW"}


class Actions:
    """The actions that were asked for, in the order of the stream."""

    def __init__(self) -> None:
        self._asked: dict[str, dict[str, Any]] = {}
        self._released: set[str] = set()

    def take(self, data: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the phases to answer with; none for an action that was asked for before."""
        if data["action_id"] in self._asked:
            return []
        self._asked[data["action_id"]] = data
        if data["kind"] not in ENFORCED:
            return [{"phase": "REFUSED", "reason": "this order system holds no positions"}]
        return [{"phase": "ACKNOWLEDGED"}, {"phase": "COMPLETED"}]

    def release(self, action_id: str) -> None:
        """End an action: a person ordered it."""
        self._released.add(action_id)

    def against(self, strategy_id: str, fund_id: str, bus_ns: int) -> str:
        """Return the code of what stands against a new order, empty for nothing."""
        scopes = (("strategy", strategy_id), ("fund", fund_id))
        for action_id, data in self._asked.items():
            kind, until = data["kind"], data.get("until")
            over = kind not in PERSONAL and until and bus_ns >= nanoseconds(until)
            here = data["scope"] == "firm" or (data["scope"], data["scope_id"]) in scopes
            if kind in ENFORCED and here and not over and action_id not in self._released:
                return CODES[kind]
        return ""
