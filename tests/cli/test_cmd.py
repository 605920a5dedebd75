"""Do the commands that stop do what their prompt says, and tell scripts what came of it?"""

import asyncio
import json

import pytest
from commands import assert_harmless
from halting import Firm, ready
from obedient import mts, obeying, register
from terminals import at_a_terminal, plain

pytestmark = pytest.mark.integration
COMMANDS = "mts.v1.operations.command.>"
WORDS = {"halt": "HALT", "cancel-all": "CANCEL", "flatten-paper": "FLATTEN", "drill": "DRILL"}


@pytest.fixture
def firm(nats_server) -> Firm:
    return Firm(nats_server, order_systems="oms-1,oms-2")


async def run(firm, *arguments):
    return await asyncio.to_thread(mts(firm), *arguments)


async def answer(firm, *arguments):
    """Run with --output json; returns exit code and what was said."""
    said = await run(firm, *arguments, "--output", "json")
    return said.code, json.loads(said.out), said.err


@pytest.mark.parametrize("verb", WORDS)
async def test_without_a_person_and_without_the_word_nothing_is_done(firm, verb):
    await register(firm)
    said = await run(firm, "cmd", verb)
    assert (said.code, said.out) == (2, "")
    assert f"Confirm with --confirm {WORDS[verb]}" in said.err
    said = await run(firm, "cmd", verb, "--confirm", WORDS[verb].lower())
    assert said.code == 2
    assert f"not confirmed with {WORDS[verb]}, nothing was done" in said.err
    assert await firm.stored(COMMANDS) == []


async def test_a_halt_of_the_firm_says_who_obeys_and_twice_is_the_same_answer(firm):
    async with firm.working() as workers, obeying(firm, "oms-1", "oms-2"):
        await ready(*workers)
        for _ in range(2):
            code, said, err = await answer(
                firm, "cmd", "halt", "--confirm", "HALT", "--reason", "runaway\x1b[2J"
            )
            command = said["commands"][0]
            assert (code, command["result"], said["exit_code"]) == (0, "done", 0), err
            assert "2/2 OMS blocking" in command["words"]
            halt = command["halts"][0]
            assert (halt["level"], halt["mode"], halt["reason_code"]) == (
                "FIRM_HALT", "BLOCK_ALL", "MANUAL",
            )  # fmt: skip
            assert [each["oms_id"] for each in halt["order_systems"]] == ["oms-1", "oms-2"]
        said = await run(firm, "halts")
        assert said.code == 0
        assert_harmless(said.out)
        assert "runaway\\x1b[2J" in said.out
    assert len(await firm.active()) == 2


async def test_an_order_system_that_does_not_block_is_named_and_has_an_exit_code(firm):
    async with firm.working() as workers, obeying(firm, "oms-1"):
        await ready(*workers)
        code, said, _ = await answer(firm, "cmd", "halt", "--confirm", "HALT", "--seconds", "3")
        assert (code, said["commands"][0]["result"]) == (3, "partial")
        assert "1/2 OMS blocking" in said["commands"][0]["words"]
        assert "oms-2 says nothing" in said["commands"][0]["words"]
        async with obeying(firm, "oms-2", halt="REFUSED"):
            code, said, _ = await answer(firm, "cmd", "halt", "--confirm", "HALT", "--seconds", "3")
        assert (code, "oms-2 refuses: it is closed" in said["commands"][0]["words"]) == (3, True)


async def test_a_halt_is_sent_although_nobody_answers_and_counts_as_late(firm):
    said = await run(firm, "cmd", "halt", "--confirm", "HALT", "--seconds", "1")
    assert said.code == 4
    assert "no halt worker has answered, and no order system either" in said.out
    assert "is message 1 of the stream" in said.out
    assert [each.subject for each in await firm.stored(COMMANDS)] == [
        "mts.v1.operations.command.halt"
    ]
    async with obeying(firm, "oms-1", "oms-2", hears="mts.v1.operations.command.halt"):
        said = await run(firm, "cmd", "halt", "--confirm", "HALT", "--seconds", "1")
    assert said.code == 0
    assert "2/2 OMS block by themselves; no halt worker has answered" in said.out


async def test_a_halt_that_cannot_leave_says_what_else_stops(firm):
    firm.nats.stop()
    said = await run(firm, "cmd", "halt", "--confirm", "HALT")
    assert (said.code, said.out) == (2, "")
    assert "NOTHING was sent" in said.err
    assert "make the file HALT" in said.err


async def test_what_a_name_means_comes_from_the_registry(firm):
    await register(firm)
    async with firm.working() as workers, obeying(firm, "oms-1", "oms-2"):
        await ready(*workers)
        said = await run(firm, "cmd", "halt", "nonsense", "--confirm", "HALT")
        assert (said.code, "is no registered strategy or fund" in said.err) == (2, True)
        for name, level in (("alpha", "FUND_HALT"), ("beta-momentum", "STRATEGY_HALT")):
            code, said, err = await answer(firm, "cmd", "halt", name, "--confirm", "HALT")
            halt = said["commands"][0]["halts"][0]
            assert (code, halt["level"], halt["scope"]) == (0, level, name), err
        assert "PAPER: beta" in err
        said = await run(firm, "why", "beta-momentum")
        assert (said.code, "beta-momentum is stopped by 1 halt" in said.out) == (1, True)
        assert "mts cmd resume beta-momentum" in said.out
        assert (await run(firm, "why", "alpha-momentum")).code == 1
        assert (await run(firm, "why", "beta")).code == 0
        assert (await run(firm, "why", "nonsense")).code == 2


async def test_a_stranger_and_a_revoked_key_are_refused_with_the_event_that_says_why(firm):
    assert (await run(firm, "keys", "new", "stranger")).code == 0
    stranger = firm.base.path("keys", "stranger.key")
    async with firm.working() as workers, obeying(firm, "oms-1", "oms-2"):
        await ready(*workers)
        code, said, _ = await answer(
            firm, "cmd", "halt", "--confirm", "HALT", "--key", str(stranger)
        )
        words = said["commands"][0]["words"]
        assert (code, "unknown key: stranger" in words) == (5, True)
        assert (await run(firm, "keys", "revoke", "cosigner")).code == 0
        assert (await run(firm, "keys", "publish-roster")).code == 0
        revoked = firm.base.path("keys", "cosigner.key")
        code, said, _ = await answer(
            firm, "cmd", "halt", "--confirm", "HALT", "--key", str(revoked)
        )
        assert (code, "revoked" in said["commands"][0]["words"]) == (5, True)
        findings = await firm.stored("mts.v1.operations.finding.halt.*")
        named = said["commands"][0]["words"].rpartition("(event ")[2].rstrip(")")
        assert named in {each.event_id for each in findings}
    assert await firm.active() == set()


async def test_cancel_all_waits_for_every_confirmation(firm):
    async with firm.working() as workers, obeying(firm, "oms-1", "oms-2"):
        await ready(*workers)
        code, said, _ = await answer(firm, "cmd", "cancel-all", "--confirm", "CANCEL")
        assert (code, said["commands"][0]["words"]) == (0, "cancels confirmed: 2/2 OMS")
        assert [each["ms"] for each in said["commands"][0]["order_systems"]] == [12.5, 12.5]
    async with obeying(firm, "oms-1"):
        code, said, _ = await answer(
            firm, "cmd", "cancel-all", "--confirm", "CANCEL", "--seconds", "1"
        )
        assert (code, "oms-2 says nothing" in said["commands"][0]["words"]) == (3, True)


async def test_flatten_paper_touches_no_live_account_and_leaves_its_funds_halted(firm):
    await register(firm)
    said = await run(firm, "cmd", "flatten-paper", "alpha-1", "--confirm", "FLATTEN")
    assert (said.code, "account 'alpha-1' is live" in said.err) == (2, True)
    async with firm.working() as workers, obeying(firm, "oms-1", "oms-2"):
        await ready(*workers)
        code, said, err = await answer(firm, "cmd", "flatten-paper", "--confirm", "FLATTEN")
        assert code == 0, err
        assert [each["command"] for each in said["commands"]] == ["halt", "flatten"]
        assert said["commands"][1]["words"] == "fund beta flat: 2/2 OMS"
    flatten = (await firm.stored("mts.v1.operations.command.flatten"))[0]
    assert flatten.data.account_ids == ("beta-1",)
    assert await firm.active() == {flatten.data.halt_id}


async def test_a_drill_shows_milliseconds_and_leaves_nothing_halted(firm):
    async with firm.working() as workers, obeying(firm, "oms-1", "oms-2"):
        await ready(*workers)
        code, said, err = await answer(firm, "cmd", "drill", "--confirm", "DRILL")
        assert code == 0, err
        assert [each["command"] for each in said["commands"]] == ["drill", "resume"]
        assert "2/2 OMS blocking" in said["commands"][0]["words"]
    assert await firm.active() == set()


async def test_a_person_at_a_terminal_sees_what_will_happen_and_types_the_word(firm):
    async with firm.working() as workers, obeying(firm, "oms-1", "oms-2"):
        await ready(*workers)
        code, shown = await asyncio.to_thread(at_a_terminal, mts(firm), ["no"], "cmd", "halt")
        assert (code, "nothing was done" in shown) == (2, True)
        assert await firm.active() == set()
        code, shown = await asyncio.to_thread(
            at_a_terminal, mts(firm), ["HALT", "runaway"], "cmd", "halt"
        )
        assert code == 0, shown
        for part in ("scope", "trading", "does not", "cmd cancel-all", "Reason (may be empty)"):
            assert part in shown
        assert max(len(line.rstrip("\r")) for line in plain(shown).split("\n")) <= 80
        code, shown = await asyncio.to_thread(at_a_terminal, mts(firm), ["HALT", ""], "cmd", "halt")
        assert (code, "halted already" in shown) == (0, True)
