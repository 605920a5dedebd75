"""What the test client of the order systems holds to be halted, from docs/oms-protocol.md alone.

Sections 3, 6, 7 and 9: who signed, the halts, the lease and the gate.
"""

import json
import time
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from oms_client_wire import Message, Refused, Roster, Signer, nanoseconds, signed_bytes, write

OPS = "mts.v1.operations"
STRICT = {"REDUCE_ONLY": 1, "BLOCK_ALL": 2}
LEVELS = {"STRATEGY_HALT": "strategy", "FUND_HALT": "fund", "FIRM_HALT": "firm"}
FIRM = ("FIRM_HALT", "")
SECOND = 1_000_000_000


class Settings(NamedTuple):
    oms_id: str
    port: int
    password: str
    origin: str
    environment: str
    key: str
    root: str
    roster: str
    folder: Path


class Halt(NamedTuple):
    """One halt: its scope, its mode, and the mode of its stored requests ("" without one)."""

    scope: tuple[str, str]
    mode: str
    stored: str


def parse(payload: bytes) -> dict[str, Any]:
    """Read an event as section 2 demands."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) < len(pairs):
            raise Refused("a key twice in one object")
        return dict(pairs)

    if len(payload) > 256 * 1024:
        raise Refused("too large")
    try:
        found = json.loads(payload.decode(), object_pairs_hook=unique)
        if all(found.get(name) for name in ("event_id", "timestamp", "actor", "subject_id")):
            return dict(found)
    except (ValueError, AttributeError, RecursionError) as error:
        raise Refused("no JSON object") from error
    raise Refused("a required field is missing")


def scope_of(event: dict[str, Any]) -> tuple[str, str]:
    level = event["data"]["level"]
    name = {"STRATEGY_HALT": "strategy_id", "FUND_HALT": "fund_id"}.get(level, "")
    return (level, event[name]) if event.get(name) else FIRM


class Obedience:
    """Everything that was folded, and the gate; `tell` publishes something signed."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.holds: dict[str, str] = {"BOOTING": "BLOCK_ALL"}
        self.halts: dict[str, Halt] = {}
        self.lifted: set[str] = set()
        self.latest: dict[str, int] = {}  # place of the newest stored request of each halt
        self.requests: dict[str, dict[str, Any]] = {}  # the newest request of each halt
        self.strategies: dict[str, dict[str, Any]] = {}
        self.accounts: dict[str, dict[str, Any]] = {}
        self.funds: dict[str, dict[str, Any]] = {}
        self.sequence = 0
        self.refused: list[str] = []
        self.roster = Roster(settings.roster, settings.root, settings.environment)
        self._history: list[tuple[int, str, float]] = [(0, self.state_hash(), 0.0)]
        self._beats: dict[tuple[str, str], int] = {}
        self._ahead: tuple[dict[str, Any], float] | None = None
        self.heard_at = self.lease_until = 0.0
        self._bus_ns, self._bus_at = 0, 0.0
        self.pending: dict[str, dict[str, Any]] = {}
        self._memory_path = settings.folder / "memory.json"
        self.memory: dict[str, Any] = {
            "acknowledged": [], "stream": "", "episode": "", "heard": {},
        }  # fmt: skip
        if self._memory_path.exists():
            self.memory = json.loads(self._memory_path.read_text())
        self._denied: list[tuple[Message, int, int]] = []

    # The gate, section 9.

    def denied(self, strategy_id: str, fund_id: str, account_id: str, quantity: Any) -> str:
        """Return the code of the denial of a new order, empty when it may go on.

        This client holds no positions, so under REDUCE_ONLY nothing reduces.
        """
        try:
            if not (size := Decimal(quantity)).is_finite() or size <= 0:
                return "MALFORMED"
        except (InvalidOperation, TypeError, ValueError):
            return "MALFORMED"
        strategy = self.strategies.get(strategy_id)
        scopes = [
            ("FIRM_HALTED", FIRM),
            ("OMS_HALTED", ("STRATEGY_HALT", f"oms.{self.settings.oms_id}")),
            ("STRATEGY_HALTED", ("STRATEGY_HALT", strategy_id)),
            ("FUND_HALTED", ("FUND_HALT", fund_id)),
        ]
        if strategy:
            scopes.append(("FUND_HALTED", ("FUND_HALT", strategy["fund_id"])))
        found = [(STRICT[mode], code) for code, mode in self.holds.items()]
        if time.monotonic() >= self.lease_until:
            found.append((STRICT["REDUCE_ONLY"], "LEASE_LAPSED"))
        found += [
            (STRICT[halt.mode], code)
            for code, scope in scopes
            for halt_id, halt in self.halts.items()
            if halt.scope == scope and halt_id not in self.lifted
        ]
        if found:
            return max(found)[1]
        account = self.accounts.get(account_id)
        checks = (
            ("UNKNOWN_STRATEGY", strategy),
            ("WRONG_FUND", strategy and strategy["fund_id"] == fund_id),
            ("WRONG_ACCOUNT", strategy and account_id in strategy["account_ids"]),
            ("UNKNOWN_ACCOUNT", account and account["fund_id"] == fund_id),
        )
        return next((code for code, holds in checks if not holds), "")

    def _probe(self, scope: tuple[str, str]) -> str:
        level, name = scope
        strategy = name if level == "STRATEGY_HALT" and name[:4] != "oms." else "probe"
        return self.denied(strategy, name if level == "FUND_HALT" else "probe", "probe", "1")

    # Halts, section 6.

    def state_hash(self) -> str:
        total = sum(
            int.from_bytes(sha256(f"{halt_id}\n{halt.stored}".encode()).digest())
            for halt_id, halt in self.halts.items()
            if halt.stored and halt_id not in self.lifted
        )
        return f"{total % (1 << 256):064x}"

    def request(self, event: dict[str, Any], *, stored: bool, via: str) -> None:
        data, at = event["data"], time.monotonic()
        halt_id, mode = data["halt_id"], data.get("mode", "BLOCK_ALL")
        before = self.halts.get(halt_id)
        scope, kept = scope_of(event), "" if before is None else before.stored
        if before is not None:
            scope = scope if scope == before.scope else FIRM
            mode = max(mode, before.mode, key=STRICT.__getitem__)
        if stored:
            asked = data.get("mode", "BLOCK_ALL")
            kept = max(asked, kept, key=lambda each: STRICT.get(each, 0))
        self.halts[halt_id] = Halt(scope, mode, kept)
        self.requests[halt_id] = event
        if stored:
            self.memory["heard"].pop(halt_id, None)
        elif halt_id not in self.lifted:
            self.memory["heard"][halt_id] = event
            self.save()
        if before is None and halt_id not in self.lifted and "BOOTING" not in self.holds:
            self.obey(halt_id, event, via, at)

    def obey(self, halt_id: str, event: dict[str, Any], via: str, at: float) -> None:
        denied = self._probe(self.halts[halt_id].scope)
        self.say(halt_id, "RECEIVED", via, event)
        if not denied:
            self.say(halt_id, "REFUSED", via, event, reason="the probe passed")
            return
        took = int((time.monotonic() - at) * 1e6)
        self.say(halt_id, "BLOCKING", via, event, to_block_us=took, open_before=0)
        self.memory["acknowledged"].append(halt_id)
        self.save()
        if event["data"].get("cancel_orders", "none") != "none":
            self._nothing_to_cancel(halt_id, event, via)

    def _nothing_to_cancel(self, halt_id: str, event: dict[str, Any], via: str) -> None:
        self.say(halt_id, "CANCEL_SENT", via, event, to_cancel_sent_ms=0.0, open_before=0)
        self.say(halt_id, "CANCEL_CONFIRMED", via, event, to_cancel_confirmed_ms=0.0, canceled=0)

    def _lift(self, event: dict[str, Any], at_ns: int) -> None:
        data = event["data"]
        orders, halt_ids = data.get("orders", []), data["halt_ids"]
        if not 1 <= len(orders) <= 2 or not halt_ids or len(set(halt_ids)) < len(halt_ids):
            raise Refused("a lift without orders or halts")
        folded = {each: halt for each, halt in self.halts.items() if halt.stored}
        levels = {folded[each].scope[0] if each in folded else FIRM[0] for each in halt_ids}
        resume, signer = self._order(orders[0], "resume", at_ns, levels)
        asked = resume["data"]
        same = all(
            asked.get(name) == data.get(name) for name in ("resume_id", "treatment", "muted_until")
        )
        muted = (asked["treatment"] == "MUTED") == (asked.get("muted_until") is not None)
        if not same or not muted or set(asked["halt_ids"]) != set(halt_ids):
            raise Refused("the lift is not what was signed")
        as_of = asked.get("as_of_sequence")
        newest = max((self.latest.get(each, 0) for each in halt_ids), default=0)
        if as_of is not None and newest > as_of:
            raise Refused("a request came after what the signer had looked at")
        if FIRM[0] in levels or len(orders) == 2:
            if len(orders) < 2:
                raise Refused("a firm halt needs a second person")
            agreed, second = self._order(orders[1], "cosign", at_ns, {FIRM[0]})
            digest = sha256(orders[0]["payload"].encode()).hexdigest()
            named = (agreed["data"]["resume_id"], agreed["data"]["resume_sha256"])
            if named != (asked["resume_id"], digest):
                raise Refused("the cosign is about something else")
            raw = [each.public_key.split("+", 2)[2] for each in (signer, second)]
            if second.member["name"] == signer.member["name"] or raw[0] == raw[1]:
                raise Refused("one person signed twice")
        self.lifted |= set(halt_ids)

    def _order(
        self, order: dict[str, str], verb: str, at_ns: int, levels: set[str]
    ) -> tuple[dict[str, Any], Signer]:
        subject = f"{OPS}.command.{verb}"
        if order["subject"] != subject:
            raise Refused(f"an order on {order['subject']}")
        payload = order["payload"].encode()
        event = parse(payload)
        for level in levels:
            right = f"{subject}.{LEVELS[level]}"
            signer = self._judged(subject, payload, order["signature"], at_ns, (right,))
        expires = nanoseconds(event["data"]["expires_at"])
        if signer.member.get("service") or not event["data"].get("reason", "").strip():
            raise Refused("not a person, or no reason")
        if not at_ns < expires <= at_ns + 3600 * SECOND:
            raise Refused("expired, or for too long")
        return event, signer

    # Who signed, section 3.

    def _judged(
        self, subject: str, payload: bytes, header: str, at_ns: int, wanted: tuple[str, ...]
    ) -> Signer:
        settings = self.settings
        signed = signed_bytes(settings.origin, settings.environment, subject, payload)
        return self.roster.judge(header, signed, at_ns, wanted)

    def bus_time(self) -> int:
        return self._bus_ns + int((time.monotonic() - self._bus_at) * SECOND)

    def saw(self, at_ns: int) -> None:
        if at_ns > self.bus_time() or not self._bus_ns:
            self._bus_ns, self._bus_at = at_ns, time.monotonic()

    def saw_now(self, at: str) -> None:
        """Take the time of the bus from what the server says that it is."""
        self.saw(nanoseconds(at))

    def _needed(self, subject: str, event: dict[str, Any]) -> tuple[str, ...]:
        if subject == f"{OPS}.command.halt":
            return (f"{subject}.{LEVELS[event['data']['level']]}",)
        if subject == f"{OPS}.command.cancel_all":
            level = "strategy" if event.get("strategy_id") else "fund"
            return (f"{subject}.{level if event.get('fund_id') or level[0] == 's' else 'firm'}",)
        return (subject,)

    # What arrives.

    def take(self, message: Message, sequence: int | None, at_ns: int) -> None:
        try:
            if message.subject == "ops.v1.halt.heartbeat":
                self._heartbeat(message)
            else:
                self._fold(message, sequence, at_ns)
        except (Refused, KeyError, TypeError, ValueError) as error:
            self.refused.append(f"{message.subject}: {error!r}")
            if sequence is not None and isinstance(error, Refused):
                self._denied.append((message, sequence, at_ns))

    def _fold(self, message: Message, sequence: int | None, at_ns: int) -> None:
        subject = message.subject
        if subject.startswith(f"{OPS}.halt.acknowledged."):
            return
        event = parse(message.payload)
        if subject.startswith("mts.v1.registry."):
            kind = subject.split(".")[3]
            known = {"strategy": self.strategies, "account": self.accounts, "fund": self.funds}
            if kind in known:
                known[kind][event["subject_id"]] = event["data"]
            return
        if subject == f"{OPS}.roster.published":
            self._take_roster(event["data"]["roster"])
            return
        moves = {"requested": self._halt, "lifted": self._lifted}
        verbs = {"halt": self._command, "cancel_all": self._cancel_all, "flatten": self._flatten}
        family, _, name = subject.removeprefix(f"{OPS}.").partition(".")
        handle = {"halt": moves, "command": verbs}.get(family, {}).get(name)
        if handle is None:
            return
        header = message.header("Mts-Signature")
        self._judged(subject, message.payload, header, at_ns, self._needed(subject, event))
        handle(event, sequence, at_ns)

    def _halt(self, event: dict[str, Any], sequence: int | None, _at_ns: int) -> None:
        if sequence is not None:
            self.latest[event["data"]["halt_id"]] = sequence
        self.request(
            event, stored=sequence is not None, via="core" if sequence is None else "stream"
        )

    def _lifted(self, event: dict[str, Any], sequence: int | None, at_ns: int) -> None:
        if sequence is not None:
            self._lift(event, at_ns)

    def _command(self, event: dict[str, Any], _sequence: int | None, _at_ns: int) -> None:
        self.pending.setdefault(event["data"]["halt_id"], event)

    def _cancel_all(self, event: dict[str, Any], _sequence: int | None, _at_ns: int) -> None:
        key = event["data"].get("halt_id") or event["data"]["command_id"]
        done = f"cancel {key}"
        expired = self.bus_time() >= nanoseconds(event["data"]["expires_at"])
        if "BOOTING" not in self.holds and not expired and done not in self.memory["acknowledged"]:
            self.memory["acknowledged"].append(done)
            self.save()
            self._nothing_to_cancel(key, event, "stream")

    def _flatten(self, event: dict[str, Any], sequence: int | None, _at_ns: int) -> None:
        halt_id, done = event["data"]["halt_id"], f"flat {event['data']['halt_id']}"
        expired = self.bus_time() >= nanoseconds(event["data"]["expires_at"])
        if sequence is None or expired or done in self.memory["acknowledged"]:
            return
        accounts = [self.accounts.get(each) for each in event["data"]["account_ids"]]
        paper = all(
            each and each["trading"] == self.funds[each["fund_id"]]["trading"] == "paper"
            for each in accounts
        )
        if halt_id not in self.halts or halt_id in self.lifted or not paper or not accounts:
            self.say(halt_id, "REFUSED", "stream", event, reason="no halt, or not paper")
            return
        self.memory["acknowledged"].append(done)
        self.save()
        self.say(halt_id, "FLAT", "stream", event)

    def _take_roster(self, document: str) -> None:
        roster = Roster(document, self.settings.root, self.settings.environment)
        if roster.version > self.roster.version:
            write(self.settings.folder / "roster.json", roster.document)
            self.roster = roster
            again, self._denied = self._denied, []
            for message, sequence, at_ns in again:
                self.take(message, sequence, at_ns)

    # The lease, section 7.

    def _heartbeat(self, message: Message) -> None:
        at = time.monotonic()
        header = message.header("Mts-Signature")
        subject, payload = message.subject, message.payload
        self._judged(subject, payload, header, self.bus_time(), (subject,))
        beat = json.loads(payload)
        source = (beat["worker"], beat["run"])
        early = nanoseconds(beat["issued_at"]) - self.bus_time()
        if beat["count"] <= self._beats.get(source, 0) or abs(early) > 3600 * SECOND:
            raise Refused("an old heartbeat")
        self._beats[source] = beat["count"]
        self.heard_at = at
        before = [sequence for sequence, _, folded in self._history if folded <= at - 3]
        if beat["sequence"] >= max(before, default=0):
            self._compare(beat, at)

    def _compare(self, beat: dict[str, Any], at: float) -> None:
        mine = [known for sequence, known, _ in self._history if sequence <= beat["sequence"]]
        if mine and mine[-1] == beat["state_hash"]:
            self.lease_until, self._ahead = max(self.lease_until, at + 3), None
        elif beat["sequence"] > self.sequence:
            self._ahead = (beat, at)

    def folded(self, sequence: int, subject: str) -> None:
        self.sequence = sequence
        if subject.startswith((f"{OPS}.halt.", f"{OPS}.command.")):
            self._history.append((sequence, self.state_hash(), time.monotonic()))
            del self._history[:-1000]
        if self._ahead:
            self._compare(*self._ahead)

    # What the order system does with it.

    def say(self, halt_id: str, phase: str, via: str, event: dict[str, Any], **more: Any) -> None:
        """Acknowledge a phase of a halt."""
        raise NotImplementedError

    def save(self) -> None:
        """Write the memory."""
        write(self._memory_path, json.dumps(self.memory))
