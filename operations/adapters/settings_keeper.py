"""The hands of the settings service: NATS KV first, then the event that makes a change count.

The stream is the truth and the bucket shows it. A change is written to the bucket on the condition
that nobody wrote since, then said; killed between the two, the next one finds the same change not
said, writes the same bytes and says it. What else stands in the bucket is reported and put back.
"""

import asyncio

from operations.adapters.publisher import Publisher
from operations.adapters.settings_bucket import Bucket, Held, key_of
from operations.adapters.settings_desk import Pending, SettingsDesk
from operations.adapters.steps import Step
from operations.clock import NANOSECONDS, monotonic_ns, now_ns, parse_rfc3339, rfc3339
from operations.errors import Denied, Rejected, Retryable
from operations.events.base import Event
from operations.events.operations import ConfigChanged, SettingLayer
from operations.settings import answers, layers
from operations.settings.change import Change, Plan
from operations.settings.layers import Wanted

PUBLISH_SECONDS = 10.0
TRIES = 5
TAKEN_BACK = b""  # stands where nobody has ordered anything
REFUSALS_A_MINUTE = 60  # of messages that nobody who may signed


class SettingsKeeper:
    """Does what the desk says is to be done. `at` is told each step: there tests end it."""

    def __init__(self, desk: SettingsDesk, bucket: Bucket, publisher: Publisher, at: Step) -> None:
        self._desk, self._bucket, self._publisher, self._at = desk, bucket, publisher, at
        self._refusals: list[int] = []
        self._begun: bytes | None = None  # what is written and not said yet

    async def answer(self) -> None:
        """Answer every command that has no answer: a change, or a finding that says why not."""
        for pending in self._desk.pending():
            try:
                plan, signer = self._desk.judge(pending)
                await self._change(pending, plan, signer)
            except (Denied, Rejected) as error:
                await self._refuse(pending, str(error))

    async def follow(self, layer: SettingLayer, wanted: Wanted, actor: str, reason: str) -> None:
        """Say what a file or the environment changed. Raises Rejected if it cannot hold."""
        for change in layers.differences(self._desk.book, layer, wanted):
            await self.say_layer(change, actor, reason, rfc3339(now_ns()))

    async def say_layer(
        self, change: Change, actor: str, reason: str, at: str, revision: int | None = None
    ) -> None:
        """Say that a layer has another value at a place."""
        event = answers.changed_by_layer(
            self._desk.book, change, actor=actor, reason=reason, at=at, revision=revision
        )
        await self.say(event)

    async def put_back(self) -> None:
        """Report what somebody wrote into the bucket, and write what the stream says."""
        await self._bucket.refresh()
        await self._report_writes()
        wanted = {key_of(each.place): each.event_id for each in self._desk.book.entries("kv")}
        for key in sorted(self._bucket.keys() | wanted.keys()):
            held = self._bucket.get(key)
            value = self._entry(wanted[key]) if key in wanted else TAKEN_BACK
            if held.value in (value, self._begun):
                continue
            await self._report(key, held)
            await self._bucket.put(key, value)
            self._at("put_back")

    async def _report_writes(self) -> None:
        """Report every message that is none of ours, also one that stood for a moment only."""
        if not self._bucket.written:
            return
        ours = {self._entry(each.event_id) for each in self._desk.book.history}
        for key, held in self._bucket.written:
            if held.value not in ours and held.value not in (TAKEN_BACK, self._begun):
                await self._report(key, held)
        self._bucket.written.clear()

    async def _report(self, key: str, held: Held) -> None:
        created_ns = self._bucket.created_ns
        await self.say(answers.edited(key, held.revision, created_ns, held.at_ns or now_ns()))

    def _entry(self, event_id: str) -> bytes:
        """Return what the bucket holds for a change that the stream has."""
        said = self._desk.said[event_id]
        assert isinstance(said, ConfigChanged)
        return answers.kv_entry(said)

    async def say(self, event: Event) -> None:
        """Publish what the stream does not have, until it has it. Raises Retryable."""
        if event.event_id in self._desk.said:
            return
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                stored = await self._publisher.confirm(event)
        except TimeoutError as error:
            raise Retryable(f"the stream has not taken {event.subject} yet") from error
        self._at("said")
        self._desk.took(event, stored.sequence)

    async def _change(self, pending: Pending, plan: Plan, signer: str) -> None:
        asked, desk = pending.asked, self._desk
        made = answers.changed(
            desk.book,
            plan.change,
            event_id=asked.change_id,
            actor=signer,
            reason=asked.event.data.reason,
            at=rfc3339(asked.at_ns),
            cause=asked,
        )
        key, value = key_of(plan.change.place), answers.kv_entry(made)
        self._begun = value
        try:
            await self.put_back()
            # What stands there already was begun in time; else a late answer would surprise.
            begun = self._bucket.get(key).value == value
            if not begun and now_ns() >= parse_rfc3339(asked.event.data.expires_at):
                raise Denied(f"it expired at {asked.event.data.expires_at} before it was read")
            self._at("judged")
            revision = await self._keep(key, value)
            self._at("kept")
            await self.say(answers.with_revision(made, revision))
        finally:
            self._begun = None

    async def _keep(self, key: str, value: bytes) -> int:
        """Have a value in the bucket and return its revision; raises Retryable."""
        for _ in range(TRIES):
            held = self._bucket.get(key)
            if held.value == value:
                return held.revision
            if revision := await self._bucket.put(key, value):
                return revision
            await self.put_back()  # somebody wrote since; another one of us may have written this
        raise Retryable(
            f"somebody writes {key} in NATS KV again and again; see who has its password"
        )

    async def _refuse(self, pending: Pending, words: str) -> None:
        """Say why a command changed nothing; of what nobody signed, so many a minute, no more."""
        now = monotonic_ns()
        self._refusals = [each for each in self._refusals if now - each < 60 * NANOSECONDS]
        if pending.denial:
            if len(self._refusals) >= REFUSALS_A_MINUTE:
                self._desk.drop(pending)
                return
            self._refusals.append(now)
        event = pending.asked.event
        await self.say(answers.refused(pending.asked, event.actor, words))
