"""Are halts lifted only by whom, for what and as it was said, and is every refusal explained?"""

import asyncio
import json

import pytest
from halting import Firm, halt_order, ready
from obedient import mts

pytestmark = pytest.mark.integration
WHY = ("--confirm", "RESUME", "--reason", "feed repaired")


@pytest.fixture
def firm(nats_server) -> Firm:
    return Firm(nats_server)


async def run(firm, *arguments):
    return await asyncio.to_thread(mts(firm), *arguments)


async def answer(firm, *arguments):
    said = await run(firm, *arguments, "--output", "json")
    return said.code, json.loads(said.out), said.err


async def halt(firm, halt_id, level="FIRM_HALT", **more):
    """Halt and wait until the stream has it."""
    async with firm.connected("operator") as person:
        await person.listen("mts.v1.operations.halt.requested")
        await person.send(halt_order(halt_id, level, **more), "operator")
        await person.hears("mts.v1.operations.halt.requested", halt_id=halt_id)


def cosigner(firm) -> str:
    return str(firm.base.path("keys", "cosigner.key"))


async def test_one_person_lifts_a_fund_and_nothing_else(firm):
    async with firm.working() as workers:
        await ready(*workers)
        await halt(firm, "h-alpha", "FUND_HALT", fund_id="alpha")
        await halt(firm, "h-beta", "FUND_HALT", fund_id="beta")
        await halt(firm, "h-mean", "STRATEGY_HALT", strategy_id="mean")
        code, said, err = await answer(firm, "cmd", "resume", "alpha", *WHY)
        assert (code, said["commands"][0]["words"]) == (0, "lifted: 1 halt"), err
        assert "stays halted" in err
        assert "fund beta: MANUAL by operator" in err
        assert await firm.active() == {"h-beta", "h-mean"}
        said = await run(firm, "cmd", "resume", "h-mean", *WHY)
        assert (said.code, await firm.active()) == (0, {"h-beta"})


async def test_a_lift_needs_a_word_a_reason_and_a_time_for_muted(firm):
    async with firm.working() as workers:
        await ready(*workers)
        await halt(firm, "h-alpha", "FUND_HALT", fund_id="alpha")
        for arguments, words in (
            (("--reason", "x"), "Confirm with --confirm RESUME"),
            (("--confirm", "resume", "--reason", "x"), "not confirmed with RESUME"),
            (("--confirm", "RESUME"), "a reason is needed"),
            (("--confirm", "RESUME", "--reason", "  "), "a reason is needed"),
            ((*WHY, "--treatment", "muted"), "--until"),
            ((*WHY, "--treatment", "muted", "--until", "soon"), "is no time"),
            ((*WHY, "--until", "2026-11-30T00:00:00Z"), "belongs to muted only"),
        ):
            said = await run(firm, "cmd", "resume", "alpha", *arguments)
            assert (said.code, words in said.err) == (2, True), (arguments, said.err)
        assert await firm.stored("mts.v1.operations.command.resume") == []
        said = await run(
            firm, "cmd", "resume", *WHY, "--treatment", "muted", "--until", "2099-01-01T00:00:00Z"
        )
        assert said.code == 0, said.err
    lift = (await firm.stored("mts.v1.operations.halt.lifted"))[0].data
    assert (lift.treatment, lift.muted_until[:4]) == ("MUTED", "2099")


async def test_what_is_not_halted_is_the_same_answer_and_a_typing_error_is_not(firm):
    async with firm.working() as workers:
        await ready(*workers)
        await halt(firm, "h-alpha", "FUND_HALT", fund_id="alpha")
        assert (await run(firm, "cmd", "resume", "alpha", *WHY)).code == 0
        for name in ((), ("firm",), ("h-alpha",)):
            said = await run(firm, "cmd", "resume", *name, *WHY)
            assert (said.code, "nothing is halted" in said.out) == (0, True)
        said = await run(firm, "cmd", "resume", "alhpa", *WHY)
        assert (said.code, "'alhpa' is not halted and not known" in said.err) == (2, True)


async def test_resume_without_a_name_lifts_the_lower_ones_and_asks_for_the_firm(firm):
    async with firm.working() as workers:
        await ready(*workers)
        await halt(firm, "h-alpha", "FUND_HALT", fund_id="alpha")
        await halt(firm, "h-mean", "STRATEGY_HALT", strategy_id="mean")
        await halt(firm, "h-firm")
        code, said, _ = await answer(firm, "cmd", "resume", *WHY)
        assert (code, [each["result"] for each in said["commands"]]) == (7, ["done", "waits"])
        assert await firm.active() == {"h-firm"}
        resume_id = said["commands"][1]["command_id"]
        assert said["commands"][1]["next"] == f"mts cmd cosign {resume_id}"
        _, board, _ = await answer(firm, "halts")
        assert [each["resume_id"] for each in board["waiting"]] == [resume_id]
        assert board["halts"][0]["phase"] == "RESUME_PENDING"
        agree = ("cmd", "cosign", resume_id, "--confirm", "COSIGN", "--reason", "checked")
        code, said, _ = await answer(firm, *agree)
        assert (code, "operator asked for this resume" in said["commands"][0]["words"]) == (5, True)
        assert await firm.active() == {"h-firm"}
        code, said, err = await answer(firm, *agree, "--key", cosigner(firm))
        assert (code, said["commands"][0]["words"]) == (0, "lifted: 1 halt"), err
        assert await firm.active() == set()
        said = await run(firm, *agree, "--key", cosigner(firm))
        assert (said.code, "was granted already" in said.out) == (0, True)
    lift = (await firm.stored("mts.v1.operations.halt.lifted"))[-1]
    assert lift.data.signed_by == ("operator", "cosigner")


async def test_a_cosign_of_what_nobody_asked_does_nothing(firm):
    said = await run(firm, "cmd", "cosign", "nothing", "--confirm", "COSIGN", "--reason", "x")
    assert (said.code, "nobody asked for resume 'nothing'" in said.err) == (2, True)
    assert await firm.stored("mts.v1.operations.command.cosign") == []


async def test_a_lift_that_a_newer_halt_overtakes_has_lost_the_race(firm):
    async with firm.working() as workers:
        await ready(*workers)
        await halt(firm, "h-firm")
        code, said, _ = await answer(firm, "cmd", "resume", *WHY)
        resume_id = said["commands"][0]["command_id"]
        assert code == 7
        await halt(firm, "h-again")
        code, said, _ = await answer(
            firm, "cmd", "cosign", resume_id, "--confirm", "COSIGN", "--reason", "x",
            "--key", cosigner(firm),
        )  # fmt: skip
        assert (code, said["commands"][0]["result"]) == (6, "lost")
        assert "h-again" in said["commands"][0]["words"]
    assert await firm.active() == {"h-firm", "h-again"}


async def test_a_resume_that_nobody_answers_is_late_and_lifts_nothing(firm):
    async with firm.working() as workers:
        await ready(*workers)
        await halt(firm, "h-alpha", "FUND_HALT", fund_id="alpha")
    said = await run(firm, "cmd", "resume", *WHY, "--seconds", "1")
    assert (said.code, "no halt worker has answered" in said.out) == (4, True)
    assert await firm.active() == {"h-alpha"}


async def test_who_cannot_read_the_halts_lifts_none(firm):
    firm.nats.stop()
    for arguments in (
        ("resume", *WHY),
        ("cosign", "x", "--confirm", "COSIGN", "--reason", "x"),
    ):
        said = await run(firm, "cmd", *arguments)
        assert (said.code, "cannot connect to NATS" in said.err) == (2, True)


async def test_a_computer_whose_clock_is_minutes_off_lifts_all_the_same(
    firm, monkeypatch, tmp_path
):
    late = tmp_path / "late"
    late.mkdir()
    (late / "sitecustomize.py").write_text(
        "import time\n_real = time.time_ns\ntime.time_ns = lambda: _real() - 20 * 60 * 10**9\n"
    )
    async with firm.working() as workers:
        await ready(*workers)
        await halt(firm, "h-alpha", "FUND_HALT", fund_id="alpha")
        command = mts(firm)
        command.settings["PYTHONPATH"] = str(late)
        said = await asyncio.to_thread(command, "cmd", "resume", "alpha", *WHY)
        assert said.code == 0, said.out + said.err
