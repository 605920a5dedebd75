"""Does a change count once, for the right people, whatever is killed, and is the rest refused?"""

import json
import signal
from pathlib import Path

import pytest
from halting import Firm, halt_order, ready, times
from obedient import register
from setting_house import FINDINGS, SettingHouse, configure
from support import eventually

from operations.clock import now_ns, parse_rfc3339, rfc3339
from operations.config import Watchdogs
from operations.events.base import encode
from operations.events.operations import ConfigChange, ConfigChanged
from operations.signing.message import HEADER

pytestmark = pytest.mark.integration


@pytest.fixture
async def house(nats_server):
    made = SettingHouse(Firm(nats_server))
    await register(made.firm)
    return made


async def test_a_signed_change_counts_once_and_stands_in_nats_kv(house):
    async with house.working():
        cause = await house.order("operator", "vpin.threshold", "0.50", "alpha", reason="too loud")
        await house.holds(("vpin.threshold", "alpha", "0.5", "operator", "too loud"))
        held = await house.bucket("fund.alpha.vpin.threshold")
        (changed,) = await house.changes()
        assert (held["value"], held["actor"], held["reason"]) == ("0.5", "operator", "too loud")
        assert (changed.data.layer, changed.data.revision) == ("kv", held["revision"])
        assert (changed.causation_id, changed.data.old_value) == (cause, None)
        await house.order("operator", "vpin.threshold", None, "alpha", reason="over")
        await house.holds(
            ("vpin.threshold", "alpha", "0.5", "operator", "too loud"),
            ("vpin.threshold", "alpha", None, "operator", "over"),
        )
        assert (await house.changes())[1].data.old_value == "0.5"
    async with house.working():
        assert len(await house.changes()) == 2
    assert await house.firm.stored(FINDINGS) == []


async def test_what_was_ordered_while_nobody_worked_is_done_in_its_order(house):
    for value in ("0.1", "0.2", "0.3"):
        await house.order("operator", "vpin.threshold", value)
    async with house.working():
        await house.holds(
            *(("vpin.threshold", "", each, "operator", "why") for each in ("0.1", "0.2", "0.3"))
        )


async def test_a_trader_may_tighten_and_not_loosen(house):
    house.hire("tina", "trader")
    async with house.working():
        await house.order("tina", "vpin.threshold", "0.3", "alpha")
        await house.order("tina", "vpin.mode", "act")
        expected = [
            ("vpin.threshold", "alpha", "0.3", "tina", "why"),
            ("vpin.mode", "", "act", "tina", "why"),
        ]
        await house.holds(*expected)
        for wrong in (("vpin.threshold", "0.31", "alpha"), ("vpin.mode", "observe")):
            cause = await house.order("tina", *wrong)
            assert "loosen" in await house.refusal(cause)
        await house.order("operator", "vpin.mode", "observe")
        await house.holds(*expected, ("vpin.mode", "", "observe", "operator", "why"))


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (("vpin.treshold", "0.3"), "did you mean threshold?"),
        (("vpn.threshold", "0.3"), "did you mean vpin?"),
        (("vpin.threshold", "1.5"), "at most 1"),
        (("vpin.threshold", "much"), "vpin.threshold cannot be 'much'"),
        (("vpin.threshold", "0.3", "alpa"), "did you mean alpha?"),
    ],
)
async def test_a_change_that_cannot_be_made_is_refused_with_what_to_do(house, order, words):
    async with house.working():
        assert words in await house.refusal(await house.order("operator", *order))
    assert await house.changes() == []


async def test_no_reason_an_old_order_a_stranger_and_a_copy_are_refused(house):
    async with house.working():
        cause = await house.order("operator", "vpin.threshold", "0.3", reason=" ")
        assert "needs a reason" in await house.refusal(cause)
        late = times(-1) | {"issued_at": rfc3339(0)}
        cause = await house.order("operator", "vpin.threshold", "0.3", **late)
        assert "it expired" in await house.refusal(cause)
        cause = await house.order("oms-1", "vpin.threshold", "0.3")
        assert "not entitled" in await house.refusal(cause)
        await house.forge("operator", forged := configure("vpin.threshold", "0.3"))
        assert "not signed" in await house.refusal(forged.event_id)
        good = configure("vpin.threshold", "0.3")
        await house.send("operator", good)
        await house.holds(change := ("vpin.threshold", "", "0.3", "operator", "why"))
        await house.send("operator", good, **{"Nats-Msg-Id": "another"})
        assert "sent before" in await house.refusal(good.event_id)
        await house.holds(change)


async def test_what_was_ordered_in_time_and_is_read_too_late_is_refused(house):
    order = configure("vpin.threshold", "0.3", **times(5))
    await house.send("operator", order)
    ends_ns = parse_rfc3339(order.data.expires_at)
    await eventually(lambda: now_ns() > ends_ns, "its time is over")
    async with house.working():
        assert "before it was read" in await house.refusal(order.event_id)
    assert await house.changes() == []


async def test_a_halt_worker_leaves_orders_about_settings_alone(house):
    async with house.firm.working() as halting, house.working():
        await ready(*halting)
        await house.forge("operator", forged := configure("vpin.threshold", "0.3"))
        assert "not signed" in await house.refusal(forged.event_id)
        await house.forge("operator", order := halt_order("h"))  # what it refuses comes after
        await eventually(lambda: _named(house, order.event_id), "it refuses the other one")
        assert not await _named(house, forged.event_id)


async def _named(house, cause):
    found = await house.firm.stored("mts.v1.operations.finding.halt.*")
    return [each for each in found if each.causation_id == cause]


async def test_a_change_that_the_settings_service_did_not_sign_moves_nothing(house):
    data = ConfigChange(
        setting="vpin.threshold", old_value=None, new_value="0.9", reason="x", layer="kv"
    )
    event = ConfigChanged(
        event_id="forged", timestamp="2026-11-20T15:00:00Z", actor="operator", subject_id="x",
        data=data,
    )  # fmt: skip
    await house.forge("settings", event)
    signed = {HEADER: house.firm.signer("service-limits")(event.subject, encode(event))}
    client = await house.firm.nats.connect("settings")
    await client.publish(event.subject, encode(event), headers=signed)
    await client.close()
    async with house.working() as worker:
        await house.order("operator", "vpin.threshold", "0.5")
        await house.holds(("vpin.threshold", "", "0.5", "operator", "why"))
        assert (await house.changes())[0].data.old_value is None
        assert worker.registry.get_sample_value("settings_messages_refused") == 2


@pytest.mark.parametrize("step", ["judged", "kept", "said"])
async def test_one_that_was_paused_and_replaced_goes_on_and_nothing_is_said_twice(house, step):
    def change(value):
        return ("vpin.threshold", "", value, "operator", "why")

    await house.order("operator", "vpin.threshold", "0.5")
    with house.process(step, "1", "STOP") as paused:
        await eventually(lambda: stopped(paused.pid), "it is paused")
        async with house.working():
            await house.order("operator", "vpin.threshold", "0.6")
            await house.holds(change("0.5"), change("0.6"))
            paused.send_signal(signal.SIGCONT)
            await house.order("operator", "vpin.threshold", "0.7")
            await house.holds(*map(change, ("0.5", "0.6", "0.7")))
    async with house.working():
        await house.order("operator", "vpin.threshold", "0.8")
        await house.holds(*map(change, ("0.5", "0.6", "0.7", "0.8")))
        held = await house.bucket("firm.vpin.threshold")
        assert held["value"] == "0.8"


async def test_a_second_worker_stands_by_and_takes_over(house):
    async with house.working() as first, house.waiting("standing by") as second:
        await house.order("operator", "vpin.threshold", "0.5")
        await house.holds(("vpin.threshold", "", "0.5", "operator", "why"))
        words = "another process reads the stream as settings; standing by"
        assert second.conditions.get("worker").detail == words
        assert first.conditions.ready
        first.stopping.set()
        await eventually(lambda: second.conditions.ready, "it takes over")
        await house.order("operator", "vpin.threshold", "0.6")
        await house.holds(
            ("vpin.threshold", "", "0.5", "operator", "why"),
            ("vpin.threshold", "", "0.6", "operator", "why"),
        )


async def test_two_workers_that_begin_in_the_same_moment_do_not_fight(house):
    async with house.starting() as one, house.starting() as other:

        def only_one_works():
            said = sorted(each.conditions.get("worker").detail for each in (one, other))
            return "changes of settings are known" in said[0] and "standing by" in said[1]

        await eventually(only_one_works, "one works and the other stands by")
        await house.order("operator", "vpin.threshold", "0.5")
        await house.holds(("vpin.threshold", "", "0.5", "operator", "why"))
        assert only_one_works()


def stopped(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


STEPS = [("judged", 1), ("kept", 1), ("said", 1), ("judged", 2), ("kept", 2), ("said", 2)]


@pytest.mark.parametrize(("step", "count"), STEPS)
async def test_killed_at_any_step_nothing_is_lost_and_nothing_said_twice(house, step, count):
    await house.order("operator", "vpin.threshold", "0.5", "alpha", reason="one")
    await house.order("operator", "vpin.threshold", "0.6", "alpha", reason="two")
    await house.dies_at(step, count)
    async with house.working():
        await house.holds(
            ("vpin.threshold", "alpha", "0.5", "operator", "one"),
            ("vpin.threshold", "alpha", "0.6", "operator", "two"),
        )
        held = await house.bucket("fund.alpha.vpin.threshold")
        assert (held["value"], held["revision"]) == ("0.6", 2)
    assert await house.firm.stored(FINDINGS) == []


async def edits(house):
    found = [e for e in await house.firm.stored(FINDINGS) if "NATS KV" in e.data.title]
    return sorted(each.subject_id for each in found)


async def test_what_nobody_ordered_is_put_back_with_a_finding(house):
    await house.order("operator", "vpin.threshold", "0.5")
    async with house.working():
        await house.holds(change := ("vpin.threshold", "", "0.5", "operator", "why"))
        good = await house.bucket("firm.vpin.threshold")
        await house.edit("firm.vpin.threshold", json.dumps({"value": "0.9"}).encode())

        async def back() -> bool:
            held = await house.bucket("firm.vpin.threshold")
            return {**held, "revision": 0} == {**good, "revision": 0}

        await eventually(back, "it is put back")
        await house.edit("firm.vpin.threshold", None)
        await eventually(back, "it is put back again")
    await house.edit("firm.vpin.own_level", b"0.1")  # while nobody works
    async with house.working():
        await eventually(lambda: edits_are(house, 3), "it is found")
        await house.holds(change)
    assert await edits(house) == ["firm.vpin.own_level", *["firm.vpin.threshold"] * 2]


async def edits_are(house, number):
    return len(await edits(house)) == number


@pytest.mark.parametrize("step", ["said", "put_back"])
@pytest.mark.parametrize("value", [b"0.1", None])
async def test_killed_while_putting_back_it_is_found_once(house, step, value):
    await house.order("operator", "vpin.threshold", "0.5")
    async with house.working():
        await house.holds(change := ("vpin.threshold", "", "0.5", "operator", "why"))
    await house.edit("firm.vpin.threshold", value)
    await house.dies_at(step, 1)
    async with house.working():
        await eventually(lambda: edits_are(house, 1), "it is found")
        await house.holds(change)
    async with house.working():
        assert await edits(house) == ["firm.vpin.threshold"]
    assert (await house.bucket("firm.vpin.threshold"))["value"] == "0.5"


async def test_what_stood_for_a_moment_only_is_found_too(house):
    async with house.working():
        await house.edit("firm.vpin.threshold", b"0.9")
        await house.order("operator", "vpin.threshold", "0.5")
        await house.holds(("vpin.threshold", "", "0.5", "operator", "why"))
        await eventually(lambda: edits_are(house, 1), "it is found")

        async def holds() -> bool:
            return (await house.bucket("firm.vpin.threshold"))["value"] == "0.5"

        await eventually(holds, "the order stands")


async def test_the_file_and_the_environment_are_said_once_and_what_is_gone_too(house):
    house.watchdogs = Watchdogs(
        file={"vpin": {"threshold": 0.5, "mode": "act", "funds": {"alpha": {"threshold": 0.6}}}},
        environment={"MTS_WATCHDOGS_VPIN_BUCKET_SHARES": "100"},
    )
    for _ in range(2):
        async with house.working():
            pass
    found = {(e.data.layer, *v[:3]) for e, v in zip(
        await house.changes(), await house.values(), strict=True)}  # fmt: skip
    assert found == {
        ("file", "vpin.threshold", "", "0.5"),
        ("file", "vpin.mode", "", "act"),
        ("file", "vpin.threshold", "alpha", "0.6"),
        ("environment", "vpin.bucket_shares", "", "100"),
    }
    assert len(await house.changes()) == 4
    house.watchdogs = Watchdogs(file={"vpin": {"threshold": 0.5, "mode": "act"}})
    async with house.working():
        pass
    assert {value[:3] for value in (await house.values())[4:]} == {
        ("vpin.threshold", "alpha", None),
        ("vpin.bucket_shares", "", None),
    }


async def test_a_wrong_file_changes_nothing_and_the_worker_says_so(house):
    house.watchdogs = Watchdogs(file={"vpin": {"threshold": 0.5}})
    async with house.working():
        pass
    house.watchdogs = Watchdogs(file={"vpin": {"treshold": 0.6}})
    async with house.waiting("did you mean threshold") as worker:
        assert not worker.conditions.ready
        await house.order("operator", "vpin.threshold", "0.3")
        await house.holds(
            ("vpin.threshold", "", "0.5", *(await house.values())[0][3:]),
            ("vpin.threshold", "", "0.3", "operator", "why"),
        )


async def test_a_server_that_was_away_changes_nothing(house):
    async with house.working():
        await house.order("operator", "vpin.threshold", "0.5")
        await house.holds(one := ("vpin.threshold", "", "0.5", "operator", "why"))
        house.firm.nats.restart()
        await house.order("operator", "vpin.threshold", "0.6")
        await house.holds(one, ("vpin.threshold", "", "0.6", "operator", "why"))
