"""Do people see what is asked of whom, and is a release signed, explained and judged?"""

import asyncio
import json
from decimal import Decimal

import msgspec
import pytest
from halting import Firm, envelope
from obedient import mts

from operations.adapters.roster_files import read_private
from operations.clock import NANOSECONDS, now_ns, rfc3339
from operations.events.actions import ActionAnswer, ActionAnswered, ActionRequest, ActionRequested
from operations.events.commands import ReleaseCommanded
from operations.signing import keys, roster

pytestmark = pytest.mark.integration
WHY = ("--confirm", "RELEASE", "--reason", "the feed was wrong")


@pytest.fixture
def firm(nats_server) -> Firm:
    return Firm(nats_server, order_systems="oms-1,oms-2")


async def run(firm, *arguments):
    return await asyncio.to_thread(mts(firm), "actions", *arguments)


async def listed(firm, *arguments):
    said = await run(firm, "list", *arguments, "--output", "json")
    assert said.code == 0, said.err
    return json.loads(said.out)


async def ask(
    firm, name="act-1", kind="reduce_allocation", until=None, ack=0.0, episode="epi-1", **more
):
    fields = {"allocation_factor": Decimal("0.5")} if kind == "reduce_allocation" else {}
    data = ActionRequest(
        action_id=name,
        episode=episode,
        kind=kind,
        scope="strategy",
        scope_id="mean-rev",
        ack_deadline=rfc3339(now_ns() + int(ack * NANOSECONDS)),
        until=None if until is None else rfc3339(now_ns() + int(until * NANOSECONDS)),
        **(fields | more),
    )
    async with firm.connected("admin") as person:
        event = ActionRequested(**envelope(name, fund_id="alpha"), data=data)
        await person.send(event, "service-watchdogs")


async def answer(firm, oms_id, phase, **more):
    data = ActionAnswer(oms_id=oms_id, action_id="act-1", phase=phase, **more)
    async with firm.connected(oms_id) as person:
        await person.send(ActionAnswered(**envelope("act-1"), data=data), oms_id)


async def test_a_list_says_what_is_asked_who_does_it_until_when_and_how_to_end_it(firm):
    assert await listed(firm) == []
    assert "no action is in force" in (await run(firm, "list")).out
    past = rfc3339(now_ns())
    await ask(firm, check="drift_monitor", done_deadline=past)
    await ask(firm, "act-2", "cooldown", until=600, ack=600)
    await ask(firm, "act-3", "cooldown", until=0, episode="epi-2")
    await ask(firm, "act-4", "cooldown", until=600, episode="epi-4")
    await answer(firm, "oms-1", "COMPLETED", measured=Decimal("0.495"))
    await answer(firm, "oms-2", "ACKNOWLEDGED")
    first, second, third = await listed(firm)
    assert (first["check"], second["check"]) == ("drift_monitor", None)
    assert first["done_due"] == past
    assert [each["done_late"] for each in first["answers"]] == [False, True]
    assert first["target"] == (
        "reduce_allocation of strategy mean-rev, part of the size at the start at most 0.5"
    )
    assert (first["asked_by"], first["finding"]) == ("service-watchdogs", "epi-1")
    assert [(each["oms_id"], each["phase"]) for each in first["answers"]] == [
        ("oms-1", "COMPLETED"),
        ("oms-2", "ACKNOWLEDGED"),
    ]
    assert (first["not_answered"], first["answers_late"]) == ([], False)
    assert third["not_answered"] == second["not_answered"] == ["oms-1", "oms-2"]
    assert (first["ends_at"], first["ends_by"]) == (None, "a person")
    assert first["release"] == "mts actions release act-1"
    assert (second["ends_by"], second["answers_late"], third["answers_late"]) == (
        "its time",
        False,
        True,
    )
    shown = (await run(firm, "list")).out
    for words in (
        "oms-1 COMPLETED 0.495",
        "oms-2 ACKNOWLEDGED NOT DONE IN TIME",
        "drift_monitor",
        "oms-1 is asked",
        "oms-1 HAS NOT ANSWERED",
        "when a person ends it",
    ):
        assert words in shown
    assert len(await listed(firm, "--all")) == 4
    assert (await listed(firm, "--all"))[2]["ended"].startswith("expired at ")


async def test_a_release_counts_from_the_moment_it_is_stored(firm):
    await ask(firm)
    said = await run(firm, "release", "act-1", *WHY)
    assert said.code == 0, said.err
    assert "it trades at full size again" in said.out
    assert "lift a halt: mts cmd resume" in said.err
    assert await listed(firm) == []
    (over,) = await listed(firm, "--all")
    assert "released by operator" in over["ended"]
    assert over["ended"].endswith("the feed was wrong")
    said = await run(firm, "release", "act-1", *WHY)
    assert (said.code, "is over already: released by operator" in said.err) == (2, True)


async def test_a_release_needs_a_known_action_the_word_and_a_reason(firm):
    await ask(firm)
    for arguments, words in (
        (("other", *WHY), "no action 'other' is known"),
        (("act-1", "--reason", "x"), "Confirm with --confirm RELEASE"),
        (("act-1", "--confirm", "release", "--reason", "x"), "not confirmed with RELEASE"),
        (("act-1", "--confirm", "RELEASE"), "a reason is needed"),
    ):
        said = await run(firm, "release", *arguments)
        assert (said.code, words in said.err) == (2, True), (arguments, said.err)
    assert await firm.stored(ReleaseCommanded.pattern) == []


def trader(firm) -> str:
    """Return the key of a trader, whom a newer roster names."""
    key = keys.new_key("tess")
    file = firm.base.path("keys", "tess.key")
    file.write_text(f"{key.secret_text()}\n")
    file.chmod(0o600)
    root = read_private(firm.base.path("keys", "root.key"))
    known = firm.base.roster_path
    body = roster.verify(known.read_bytes(), root.public, 1, "development").body
    operator = next(each for each in body.members if each.name == "operator")
    (held,) = operator.keys
    held = msgspec.structs.replace(held, public_key=str(key.public))
    tess = msgspec.structs.replace(operator, name="tess", roles=("trader",), keys=(held,))
    body = msgspec.structs.replace(body, version=body.version + 1, members=(*body.members, tess))
    known.write_bytes(roster.sign(body, root))
    return str(file)


async def test_a_trader_may_not_and_is_told_so(firm):
    await ask(firm)
    said = await run(firm, "release", "act-1", *WHY, "--key", trader(firm), "--output", "json")
    told = json.loads(said.out)["commands"][0]
    assert (said.code, told["result"]) == (5, "refused")
    assert "not entitled" in told["words"]
    assert len(await listed(firm)) == 1
