"""Does what Vault says become events, once, and does an outage change nothing but what is shown?"""

import re

import pytest
from fake_vault import FakeVault
from halting import Firm
from obedient import register
from setting_house import FINDINGS, SettingHouse
from support import eventually

from operations.config import Vault

pytestmark = pytest.mark.integration
FIRM, ALPHA = "mts/firm", "mts/funds/alpha"


@pytest.fixture
def vault():
    made = FakeVault()
    made.start()
    yield made
    made.stop()


@pytest.fixture
async def house(nats_server, vault):
    made = SettingHouse(Firm(nats_server))
    await register(made.firm)
    file = made.firm.base.path("vault-token")
    file.write_text(vault.issue())
    file.chmod(0o600)
    made.vault = Vault(url=vault.url, token_file=str(file), poll_seconds=0.05)
    return made


def detail(worker):
    return worker.conditions.get("vault").detail


async def shows(worker, words):
    await eventually(lambda: words in detail(worker), f"it shows {words}")


async def findings(house, kind):
    found = await house.firm.stored(FINDINGS)
    return [
        each.subject.rpartition(".")[2]
        for each in found
        if kind in {parameter.value for parameter in each.data.parameters}
    ]


async def test_a_version_becomes_events_with_who_and_why_and_is_said_once(house, vault):
    vault.put(ALPHA, {"vpin.threshold": "0.60", "vpin.mode": "act"}, actor="ann", reason="venue")
    alpha = [
        ("vpin.threshold", "alpha", "0.6", "ann", "venue"),
        ("vpin.mode", "alpha", "act", "ann", "venue"),
    ]
    async with house.working():
        await house.holds(*alpha)
        vault.put(FIRM, {"vpin.threshold": 0.5})
        firm = ("vpin.threshold", "", "0.5", "somebody in Vault", "no reason was given")
        await house.holds(*alpha, firm)
        vault.put(ALPHA, {"vpin.threshold": "0.6"}, actor="bob", reason="calm")
        await house.holds(*alpha, firm, ("vpin.mode", "alpha", None, "bob", "calm"))
    changes = await house.changes()
    assert {each.data.layer for each in changes} == {"vault"}
    assert [each.data.revision for each in changes] == [1, 1, 1, 2]
    async with house.working() as worker:
        await shows(worker, "answered at")
    assert await house.changes() == changes


async def test_a_command_cannot_set_what_vault_owns(house, vault):
    vault.put(ALPHA, {"vpin.threshold": "0.6"}, actor="ann", reason="venue")
    async with house.working():
        await house.holds(("vpin.threshold", "alpha", "0.6", "ann", "venue"))
        cause = await house.order("operator", "vpin.threshold", "0.3", "alpha")
        said = await house.refusal(cause)
        assert "is 0.6 in Vault for fund alpha, set by ann" in said
        assert "change it there" in said
        await house.order("operator", "vpin.mode", "act", "alpha")
        await eventually(lambda: _count(house, 2))


async def _count(house, number):
    return len(await house.changes()) == number


async def test_the_age_of_what_holds_grows_in_an_outage(house, vault):
    vault.put(ALPHA, {"vpin.threshold": "0.6"}, actor="ann", reason="venue")
    async with house.working() as worker:
        await house.holds(("vpin.threshold", "alpha", "0.6", "ann", "venue"))
        vault.stop()

        def is_old() -> bool:
            return int(re.search(r"the settings of (\d+) s ago hold", detail(worker))[1]) >= 2

        await eventually(is_old, "its age is shown")
        assert worker.registry.get_sample_value("settings_vault_age_seconds") >= 2


@pytest.mark.parametrize("how", ["stop", "seal", "revoke"])
async def test_in_an_outage_the_last_settings_hold_and_their_age_is_shown(house, vault, how):
    vault.put(ALPHA, {"vpin.threshold": "0.6"}, actor="ann", reason="venue")
    change = ("vpin.threshold", "alpha", "0.6", "ann", "venue")
    async with house.working() as worker:
        await house.holds(change)
        tokens = dict(vault.tokens)
        if how == "stop":
            vault.stop()
        elif how == "seal":
            vault.sealed = True
        else:
            vault.tokens.clear()
        await shows(worker, "s ago hold")
        assert not worker.conditions.ready
        await eventually(lambda: _found(house, ["raised"]), "people are told")
    async with house.working() as worker:  # a start in an outage
        await shows(worker, "no answer since this start, the last settings hold")
        cause = await house.order("operator", "vpin.threshold", "0.3", "alpha")
        assert "in Vault" in await house.refusal(cause)
        await house.holds(change)
        if how == "stop":
            vault.start()
        vault.sealed = False
        vault.tokens.update(tokens)
        await shows(worker, "answered at")
        await eventually(lambda: _found(house, ["raised", "cleared"]), "it is over")
        await house.holds(change)


async def test_a_vault_that_never_answered_is_not_taken_for_one_without_settings(house, vault):
    vault.sealed = True
    async with house.working() as worker:
        await shows(worker, "Vault is sealed")
        assert "nothing that it holds was ever known" in detail(worker)
        assert not worker.conditions.ready
        vault.put(ALPHA, {"vpin.threshold": "0.6"}, actor="ann", reason="venue")
        vault.sealed = False
        await house.holds(("vpin.threshold", "alpha", "0.6", "ann", "venue"))
        await shows(worker, "answered at")
        await eventually(lambda: worker.conditions.ready, "it is ready")


async def _refused(house, expected):
    return await findings(house, "vault_refused") == expected


async def _found(house, expected):
    return await findings(house, "vault_silent") == expected


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"vpin.treshold": "0.5"}, "did you mean threshold?"),
        ({"vpin.threshold": "7", "vpin.mode": "act"}, "at most 1"),
        ({"threshold": "0.5"}, "CHECK.FIELD"),
    ],
)
async def test_a_version_that_cannot_hold_is_refused_as_a_whole_once(house, vault, values, words):
    vault.put(ALPHA, {"vpin.threshold": "0.6"}, actor="ann", reason="venue")
    change = ("vpin.threshold", "alpha", "0.6", "ann", "venue")
    async with house.working() as worker:
        await house.holds(change)
        vault.put(ALPHA, values, actor="bob", reason="typo")
        await shows(worker, words)
        assert not worker.conditions.ready
    async with house.working() as worker:
        await shows(worker, words)
        assert await findings(house, "vault_refused") == ["raised"]
        vault.put(ALPHA, {"vpin.threshold": "8"}, actor="bob", reason="another typo")
        await eventually(lambda: _refused(house, ["raised", "cleared", "raised"]), "one goes on")
        vault.put(ALPHA, {"vpin.threshold": "0.7"}, actor="bob", reason="corrected")
        await eventually(lambda: _refused(house, ["raised", "cleared"] * 2), "all are over")
        await house.holds(change, ("vpin.threshold", "alpha", "0.7", "bob", "corrected"))
        await shows(worker, "answered at")


async def test_a_deleted_version_takes_away_and_a_secret_that_is_gone_does_not(house, vault):
    vault.put(ALPHA, {"vpin.threshold": "0.6"}, actor="ann", reason="venue")
    change = ("vpin.threshold", "alpha", "0.6", "ann", "venue")
    async with house.working() as worker:
        await house.holds(change)
        vault.destroy(ALPHA)
        await shows(worker, "the secret of fund alpha is gone, its last values hold")
        await house.holds(change)
        vault.put(ALPHA, {"vpin.threshold": "0.6"}, actor="ann", reason="over")
        vault.delete(ALPHA)
        await house.holds(change, ("vpin.threshold", "alpha", None, "ann", "over"))


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_killed_between_two_values_the_rest_is_said_once(house, vault, count):
    values = {"vpin.threshold": "0.6", "vpin.mode": "act", "vpin.own_level": "0.9"}
    vault.put(ALPHA, values, actor="ann", reason="venue")
    await house.dies_at("said", count)
    expected = [(name, "alpha", value, "ann", "venue") for name, value in values.items()]
    async with house.working():
        await house.holds(*expected)
    assert await house.values() == expected
