"""Do people see what holds and why, and do scripts learn what came of a change?"""

import asyncio
import json

import pytest
from commands import assert_harmless
from fake_vault import FakeVault
from halting import Firm
from obedient import mts, register
from setting_house import SettingHouse
from support import eventually
from terminals import at_a_terminal, plain

from operations.adapters import settable
from operations.config import Vault

pytestmark = pytest.mark.integration
# A check of this release, with a limit that gets looser upwards from its default 1.5.
CHECK = "portfolio_vol_dd"
LIMIT, MODE = f"{CHECK}.enter_multiple", f"{CHECK}.mode"


@pytest.fixture
async def house(nats_server):
    made = SettingHouse(Firm(nats_server), settable.catalogue())
    await register(made.firm)
    return made


async def run(house, *arguments):
    return await asyncio.to_thread(mts(house.firm), "config", *arguments)


async def answer(house, *arguments):
    said = await run(house, *arguments, "--output", "json")
    return said.code, json.loads(said.out) if said.out else None, said.err


async def set_it(house, *arguments, reason="too loud"):
    return await answer(house, "set", *arguments, "--confirm", "SET", "--reason", reason)


async def row(house, name, *arguments):
    code, said, err = await answer(house, "show", *arguments)
    assert code == 0, err
    return next(each for each in said["settings"] if each["setting"] == name)


@pytest.mark.parametrize("limit", ["0", "-3"])
async def test_a_history_of_none_or_fewer_changes_is_a_mistake(house, limit):
    said = await run(house, "history", "--limit", limit)
    assert (said.code, "Must be >= 1" in said.err) == (2, True)


async def test_a_change_is_shown_explained_and_remembered_also_when_nobody_works(house):
    async with house.working():
        code, said, err = await set_it(house, LIMIT, "2", "--fund", "alpha")
        assert (code, said["commands"][0]["result"]) == (0, "done"), err
        assert said["commands"][0]["words"] == f"{LIMIT} of fund alpha is 2.0, from NATS KV"
        assert "fund alpha: 1.5 → 2.0, LOOSER" in err
        assert "needs           a risk manager" in err
        assert "touches         1 of 2 funds" in err
    found = await row(house, LIMIT, "--fund", "alpha")
    assert (found["value"], found["layer"], found["fund"]) == ("2.0", "kv", "alpha")
    assert (found["actor"], found["reason"], found["default"]) == ("operator", "too loud", "1.5")
    found = await row(house, LIMIT, "--check", CHECK)
    assert (found["value"], found["layer"], found["funds"]) == ("1.5", "default", {"alpha": "2.0"})
    code, said, _ = await answer(house, "explain", LIMIT, "--fund", "alpha")
    assert [(each["layer"], each["value"], each["holds"]) for each in said["layers"]] == [
        ("kv", "2.0", True),
        ("default", "1.5", False),
    ]
    assert (said["looser"], said["allowed"]) == ("higher", "above 0")
    code, said, _ = await answer(house, "history")
    assert [(each["setting"], each["old_value"], each["value"]) for each in said] == [
        (LIMIT, None, "2.0")
    ]
    for command in (("show",), ("explain", LIMIT), ("history",)):
        shown = await run(house, *command)
        assert shown.code == 0
        assert_harmless(shown.out)


async def test_what_is_taken_away_is_said(house):
    async with house.working():
        await set_it(house, MODE, "act", reason="observed\x1b[2J")
        code, said, _ = await answer(house, "unset", MODE, "--confirm", "SET", "--reason", "over")
        words = said["commands"][0]["words"]
        assert (code, words) == (0, f"{MODE} of the firm is observe, from the default")
    shown = await run(house, "history")
    assert "taken away" in shown.out
    assert_harmless(shown.out)
    assert "observed\\x1b[2J" in shown.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("set", f"{CHECK}.enter_multple", "0.3"), "did you mean enter_multiple?"),
        (("set", LIMIT, "0"), "above 0"),
        (("set", LIMIT, "1.3", "--fund", "alpa"), "did you mean alpha?"),
        (("set", LIMIT, "1.3"), "Confirm with --confirm SET"),
        (("set", LIMIT, "1.3", "--confirm", "SET"), "a reason is needed"),
        (("explain", "portfolio_vol.mode"), "did you mean portfolio_vol_dd?"),
        (("show", "--check", "portfolio_vol"), "did you mean portfolio_vol_dd?"),
        (("show", "--fund", "alpa"), "did you mean alpha?"),
        (("history",), "the defaults hold"),
        (("history", "--fund", "alpa"), "did you mean alpha?"),
        (("history", "--check", "portfolio_vol"), "did you mean portfolio_vol_dd?"),
        (("explain", CHECK), f"say which of its settings: {MODE}, "),
    ],
)
async def test_what_cannot_be_done_is_said_and_nothing_is_sent(house, arguments, words):
    said = await run(house, *arguments)
    assert (said.code, words in said.err) == (2, True), said.err
    assert await house.firm.stored("mts.v1.operations.command.>") == []


async def test_without_the_worker_a_change_is_late_and_holds_for_nobody(house):
    code, said, _ = await answer(
        house, "set", LIMIT, "1.3", "--confirm", "SET", "--reason", "x",
        "--seconds", "0.5",
    )  # fmt: skip
    assert (code, said["commands"][0]["result"], said["commands"][0]["next"]) == (
        4,
        "late",
        "mts status",
    )
    assert (await row(house, LIMIT))["value"] == "1.5"


async def test_in_an_outage_of_vault_people_see_how_old_its_settings_are(house):
    vault = FakeVault()
    vault.start()
    token = house.firm.base.path("vault-token")
    token.write_text(vault.issue())
    token.chmod(0o600)
    house.vault = Vault(url=vault.url, token_file=str(token), poll_seconds=0.05)
    vault.put("mts/funds/alpha", {LIMIT: "2.0"}, actor="ann", reason="venue")

    async def shown(words):
        return words in (await run(house, "show", "--check", CHECK, "--fund", "alpha")).err

    async with house.working():
        await eventually(lambda: _count(house, 1))
        vault.stop()
        await eventually(lambda: shown("Vault answered last"))
        assert await shown("ago; its last settings hold: Vault at http://127.0.0.1")
    code, said, _ = await answer(house, "show", "--fund", "alpha")  # also while nobody works
    assert (code, said["vault"]["last_answer"] < said["vault"]["silent_since"]) == (0, True)
    found = next(each for each in said["settings"] if each["setting"] == LIMIT)
    assert (found["value"], found["layer"], found["actor"]) == ("2.0", "vault", "ann")
    vault.start()
    async with house.working():

        async def over():
            return not await shown("Vault")

        await eventually(over)
    vault.stop()


async def _count(house, number):
    return len(await house.changes()) == number


async def test_somebody_who_may_not_is_refused_with_the_event_that_says_why(house):
    house.hire("tina", "trader")
    key = str(house.firm.base.path("keys", "tina.key"))
    async with house.working():
        code, said, _ = await set_it(house, LIMIT, "2", "--key", key)
        words = said["commands"][0]["words"]
        assert (code, "loosen" in words, "(event " in words) == (5, True, True)
        code, said, _ = await set_it(house, LIMIT, "1.3", "--key", key)
        assert code == 0


async def test_at_a_terminal_one_sees_for_whom_what_gets_looser_and_types_the_word(house):
    async with house.working():
        await set_it(house, LIMIT, "1.2", "--fund", "alpha")
        arguments = ("config", "set", LIMIT, "2")
        code, shown = await asyncio.to_thread(at_a_terminal, mts(house.firm), ["no"], *arguments)
        assert (code, "nothing was done" in shown) == (2, True)
        code, shown = await asyncio.to_thread(
            at_a_terminal, mts(house.firm), ["SET", "new venue"], *arguments
        )
        assert code == 0, shown
        for part in ("the firm: 1.5 → 2.0, LOOSER", "fund beta: 1.5 → 2.0", "fund alpha keeps 1.2"):
            assert part in shown
        lines = plain(shown).split("\n")
        assert max(len(line.rstrip("\r")) for line in lines) <= 80
    code, shown = await asyncio.to_thread(at_a_terminal, mts(house.firm), [], "config", "show")
    assert max(len(line.rstrip("\r")) for line in plain(shown).split("\n")) <= 80
