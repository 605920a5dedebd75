"""What went wrong elsewhere does not here: the pitfalls of people who type a command at night."""

import asyncio

import pytest
from halting import HALTS, Firm, halt_order, ready
from obedient import mts, register
from support import eventually
from terminals import at_a_terminal, plain

from operations.events.commands import HaltCommanded

pytestmark = pytest.mark.integration
COMMANDS = HaltCommanded.pattern.replace("halt", "*")
PROMPTS = {
    "halt": ("LIVE: alpha; PAPER: beta", "cancel working orders", "close positions"),
    "cancel-all": ("LIVE: alpha; PAPER: beta", "stop new orders: mts cmd halt", "close positions"),
    "flatten-paper": ("fund beta: beta-1", "paper", "touch any live account", "lift the halts"),
    "drill": ("the reserved strategy of drills", "stop, cancel or close anything that trades"),
}


@pytest.fixture
def firm(nats_server) -> Firm:
    return Firm(nats_server, order_systems="oms-1")


async def run(firm, *arguments):
    return await asyncio.to_thread(mts(firm), *arguments)


def flat(text: str) -> str:
    """Return a text in one line, so that no width of a terminal matters."""
    return " ".join(text.split())


@pytest.mark.parametrize("verb", PROMPTS)
async def test_pitfall_14_a_prompt_names_scope_and_money_and_what_it_will_not_do(firm, verb):
    await register(firm)
    code, said = await asyncio.to_thread(at_a_terminal, mts(firm), ["yes"], "cmd", verb)
    shown = flat(plain(said))
    for part in ("scope ", "trading ", " does ", " does not ", *PROMPTS[verb]):
        assert part in shown, f"{part!r} is missing in {said}"
    assert (code, "nothing was done" in shown) == (2, True)
    assert await firm.stored(COMMANDS) == []


async def test_pitfall_14_a_lift_names_who_halted_what_what_stays_and_wants_a_reason(firm):
    await register(firm)
    async with firm.working() as workers, firm.connected("operator") as person:
        await ready(*workers)
        await person.listen(HALTS)
        await person.send(halt_order("h-1", "FUND_HALT", fund_id="alpha"), "operator")
        await person.send(halt_order("h-2"), "operator")

        async def both() -> bool:
            return await firm.active() == {"h-1", "h-2"}

        await eventually(both)
        said = await run(firm, "cmd", "resume", "alpha", "--confirm", "yes")
        shown = flat(said.err)
        scope, rest = shown.split(" trading ", 1)
        assert "alpha" in scope
        assert "operator" in scope
        for part in ("LIVE", " does ", " does not ", "stays halted"):
            assert part in rest, f"{part!r} is missing in {said.err}"
        assert "firm" in rest.partition("stays halted")[2]
        said = await run(firm, "cmd", "resume", "alpha", "--confirm", "RESUME")
        assert (said.code, "a reason is needed, nothing was done" in flat(said.err)) == (2, True)
        assert await both()
