"""Is everybody told once, with real servers, whatever dies and whatever the channels answer?"""

import pytest
from alert_site import SECRETS, Site, over, vpin, worse
from halting import envelope, halt_order, times
from receivers import Answer, mailing, receiving
from remade import made_anew
from support import eventually

from operations.adapters.channels import catalogue
from operations.clock import NANOSECONDS, now_ns, rfc3339
from operations.events.commands import (
    AcknowledgeCommanded,
    AcknowledgeOrder,
    SilenceCommanded,
    SilenceOrder,
)
from operations.notifications.message import REPEATED
from operations.process_settings import Log

pytestmark = pytest.mark.integration


@pytest.fixture
def receiver():
    with receiving() as running:
        yield running


@pytest.fixture
def mail():
    with mailing() as running:
        yield running


@pytest.fixture
def site(nats_server, database, receiver, mail):
    return Site(nats_server, database, receiver, mail)


def acknowledged(episode, seconds=600):
    return AcknowledgeCommanded(
        **envelope(episode), data=AcknowledgeOrder(episode=episode, **times(seconds))
    )


def silenced(seconds=600, check=None):
    order = SilenceOrder(
        silence_id="s-1",
        until=rfc3339(now_ns() + int(seconds * NANOSECONDS)),
        check=check,
        **times() | {"reason": "known"},
    )
    return SilenceCommanded(**envelope("s-1"), data=order)


async def verdicts(site, episode):
    rows = await site.rows("SELECT channel, reason FROM notify.verdict WHERE episode = $1", episode)
    return {row["channel"]: row["reason"] for row in rows}


async def test_each_channel_gets_exactly_one_message_per_episode_and_its_end(site):
    site.channels = (*site.channels, "apprise")
    async with site.working():
        await site.send(vpin())
        await site.tells(1)
        await site.send(vpin(), worse(), vpin(), over())
        await eventually(lambda: site.told()["webhook"] == 2)
        await site.quiet()
    once, twice = ("email", "notion", "apprise"), ("telegram", "slack", "pagerduty", "webhook")
    assert site.told() == dict.fromkeys(once, 1) | dict.fromkeys(twice, 2)
    began, ended = (each.json for each in site.receiver.at("/v2"))
    assert (began["event_action"], ended["event_action"]) == ("trigger", "resolve")
    assert began["dedup_key"] == ended["dedup_key"]


async def test_an_order_of_the_firm_silences_acknowledges_and_nobody_else_can(site):
    site.channels = ("pagerduty",)
    async with site.working() as worker:
        await site.send(vpin())
        await site.tells(1)
        await site.send(acknowledged("e-1"), key="service-limits", user="operator")
        await site.send(silenced(), key="oms-1", user="operator")
        await site.send(over(), key="service-limits")  # no key may end what another found
        refused = worker.registry.get_sample_value
        await site.send(acknowledged("e-1", seconds=-1), key="operator", user="operator")
        await eventually(lambda: refused("alert_events_refused") == 4)
        await site.send(acknowledged("e-1"), key="operator", user="operator")
        await site.tells(2)
        await site.send(silenced(check="vpin"), key="operator", user="operator")
        await site.send(vpin(episode="e-2"))

        async def held():
            return (await verdicts(site, "e-2")) == {"pagerduty": "silenced"}

        await eventually(held)
    assert [each.json["event_action"] for each in site.receiver.at("/v2")] == [
        "trigger",
        "acknowledge",
    ]


async def test_a_silence_of_everything_never_silences_a_halt(site):
    site.channels = ("slack", "pagerduty")
    async with site.working(), site.firm.working():
        await site.send(silenced(), key="operator", user="operator")
        await site.send(vpin())
        await site.send(halt_order("h-1"), key="operator", user="operator")
        await site.tells(1)
        await site.quiet()
    assert "the firm is halted, MANUAL" in site.receiver.at("/services")[0].json["text"]
    assert (await verdicts(site, "e-1"))["slack"] == "silenced"
    assert (await verdicts(site, "h-1"))["pagerduty"] in ("first_message", "told_already")


async def test_pagers_ring_again_until_somebody_acknowledges(nats_server, database, receiver, mail):
    site = Site(nats_server, database, receiver, mail, repage_minutes=0.01)
    site.channels = ("telegram",)
    async with site.working():
        await site.send(vpin())
        await eventually(lambda: site.told()["telegram"] >= 3)
        await site.send(acknowledged("e-1"), key="operator", user="operator")

        async def known():
            rows = await site.rows("SELECT alert->>'acknowledged_by' AS by FROM notify.alert")
            return rows[0]["by"] == "operator"

        await eventually(known)
        await site.quiet()
        rung = site.told()["telegram"]
        await site.send(vpin(episode="e-2", environment="canary"))
        await site.quiet()
        assert site.told()["telegram"] == rung
    assert "nobody has acknowledged" in receiver.at("/bot")[1].json["text"]


async def test_what_a_channel_does_not_take_now_is_tried_again_in_order_and_others_go_on(site):
    site.channels = ("slack", "webhook")
    site.receiver.always = Answer(500)
    async with site.working() as worker:
        await site.send(vpin())
        await eventually(lambda: len(site.receiver.at("/services")) >= 2)
        await site.send(over())
        state = worker.conditions.get("channel slack")
        assert (state.ok, state.detail) == (
            False,
            f"127.0.0.1:{site.receiver.port} answered 500",
        )
        site.receiver.always = None
        await eventually(lambda: "over: " in str(site.receiver.at("/services")[-1].json))
        await site.quiet()
        await eventually(lambda: worker.conditions.ready)
    rows = await site.rows("SELECT state, attempts FROM notify.message WHERE channel = 'slack'")
    assert {row["state"] for row in rows} == {"sent"}
    assert REPEATED not in site.receiver.at("/services")[1].json["text"]  # it said that it has none


async def test_after_a_time_out_nobody_knows_so_the_next_attempt_says_that(
    nats_server, database, receiver, mail
):
    site = Site(nats_server, database, receiver, mail, timeout_seconds=2.0)
    site.channels = ("slack",)
    site.receiver.answers.append(Answer(hangs=True))
    async with site.working():
        await site.send(vpin())
        await eventually(lambda: len(site.receiver.at("/services")) == 2)
    first, second = (each.json["text"] for each in site.receiver.at("/services"))
    assert REPEATED not in first
    assert REPEATED in second


async def test_a_message_that_can_never_be_sent_is_said_on_the_other_channels(site):
    site.channels = ("slack", "email")
    site.receiver.always = Answer(404, body=b"no_service")
    async with site.working() as worker:
        await site.send(vpin())
        await eventually(lambda: len(site.mail.mails) == 2)
        await site.quiet()
        assert not worker.conditions.get("channel slack").ok
    assert len(site.receiver.at("/services")) == 1
    subjects = [each["Subject"] for each in site.mail.mails]
    assert any("slack will never take" in each and "answered 404" in each for each in subjects)
    (row,) = await site.rows("SELECT problem FROM notify.message WHERE state = 'failed'")
    assert row["problem"].endswith("answered 404")


async def test_a_text_that_no_database_takes_is_told_all_the_same(site):
    site.channels = ("webhook",)
    async with site.working():
        await site.send(vpin(title="quotes \0 of a feed", details="a\0b"))
        await site.tells(1)
    (told,) = (each.json for each in site.receiver.at("/hook"))
    assert told["headline"] == "[critical] quotes \N{REPLACEMENT CHARACTER} of a feed"


async def test_a_stream_made_anew_ends_what_it_lost_and_no_halt(site):
    """A halt is asked for again in the new stream; nobody hears that it is over, or twice of it."""
    site.channels = ("webhook",)

    def said():
        return {each.json["headline"].partition("] ")[2] for each in site.receiver.at("/hook")}

    async with site.working() as worker, site.firm.working():
        await site.send(vpin())
        await site.send(halt_order("h-1"), key="operator", user="operator")
        halted = "the firm is halted, MANUAL by operator"
        await eventually(lambda: {"toxic flow in e-1", halted} <= said())
        await site.quiet()
        await made_anew(site.nats)
        await site.send(vpin(episode="e-2", severity="warning"))
        ended = {"toxic flow in e-2", "over: toxic flow in e-1"}
        await eventually(lambda: ended <= said())
        await eventually(lambda: worker.conditions.ready)
        await site.quiet()
    told = [each.json for each in site.receiver.at("/hook")]
    lost = next(each for each in told if each["headline"].endswith("over: toxic flow in e-1"))
    assert any("the stream was made anew without it" in each for each in lost["lines"])
    assert sum("the firm is halted" in each["headline"] for each in told) == 1
    open_now = await site.rows("SELECT episode FROM notify.alert WHERE cleared_ns IS NULL")
    open_now = {row["episode"] for row in open_now}
    assert {"h-1", "e-2"} <= open_now
    assert "e-1" not in open_now


async def test_a_channel_with_a_wrong_setting_is_said_and_the_others_work(site):
    site.channels = ("slack", "telegram")
    site.bot_token = ""
    async with site.working() as worker:
        await site.send(vpin())
        await eventually(lambda: site.told()["slack"] == 1)
        state = worker.conditions.get("channel telegram")
        assert (state.ok, "telegram.bot_token" in state.detail) == (False, True)


async def test_a_wrong_setting_of_alerts_is_said_and_people_are_told_by_its_default(
    nats_server, database, receiver, mail, tmp_path
):
    """A typing mistake in a route once ended the worker again and again, and nobody was told."""
    (tmp_path / "ping").write_bytes(b"\xff\xfe")
    (tmp_path / "ping").chmod(0o600)
    wrong = {"routes": "alpha=slak", "pagers": "pagerdoty", "least": "slack:loud"}
    wrong |= {"inhibit": "nats", "maintenance": "caturday", "ends": "al"}
    ping = str(tmp_path / "ping")
    site = Site(nats_server, database, receiver, mail, ping_url_file=ping, **wrong)
    site.channels = ("slack", "pagerduty")
    async with site.working() as worker:
        await eventually(lambda: worker.conditions.get("worker").ok)
        await site.send(vpin(severity="warning"), vpin(episode="e-2"))
        await eventually(lambda: site.told() | {"slack": 2, "pagerduty": 1} == site.told())
        for name in wrong:
            state = worker.conditions.get(f"alerts.{name}")
            assert (state.ok, state.detail.endswith("; its default holds")) == (False, True)
        assert "no text in UTF-8" in worker.conditions.get("alerts.ping_url").detail
        assert not worker.conditions.ready


async def test_what_was_raised_and_over_while_nobody_worked_is_told_once_and_rings_nobody(site):
    site.channels = ("slack", "pagerduty")
    async with site.working():
        await site.send(vpin())
        await site.tells(1)
    await site.send(over(), vpin(episode="e-2"), over("e-2"), vpin(episode="e-3"))
    async with site.working():
        await eventually(lambda: site.told() | {"slack": 4, "pagerduty": 3} == site.told())
        await site.quiet()
    assert (await verdicts(site, "e-2"))["pagerduty"] == "over_before_told"
    actions = [each.json["event_action"] for each in site.receiver.at("/v2")]
    assert sorted(actions) == ["resolve", "trigger", "trigger"]


async def test_history_before_the_first_start_is_told_only_where_it_is_critical_and_goes_on(site):
    site.channels = ("webhook",)
    await site.send(vpin(episode="e-1"), over("e-1"))
    await site.send(vpin(episode="e-2", severity="warning"), vpin(episode="e-3"))
    async with site.working() as worker:
        await eventually(lambda: worker.conditions.ready)
        await site.send(vpin(episode="e-4", severity="warning"))
        await eventually(lambda: site.told()["webhook"] == 2)
        await site.quiet()
    told = [each.json["episodes"] for each in site.receiver.at("/hook")]
    assert sorted(told) == [["e-3"], ["e-4"]]


async def test_nats_out_of_reach_is_one_page_which_holds_and_lists_what_follows(
    nats_server, database, receiver, mail
):
    site = Site(nats_server, database, receiver, mail, outage_seconds=4.0, grace_seconds=1.0)
    site.channels = ("slack", "pagerduty")
    async with site.working() as worker:
        await eventually(lambda: worker.conditions.ready)
        nats_server.kill()
        await site.tells(1)
        assert "NATS is out of reach" in receiver.at("/services")[0].json["text"]
        nats_server.start()
        await eventually(lambda: worker.conditions.ready)
        await site.tells(2)
    ends = [each.json["event_action"] for each in receiver.at("/v2")]
    assert ends == ["trigger", "resolve"]


async def test_while_nats_is_out_of_reach_a_new_worker_does_not_page_again(
    nats_server, database, receiver, mail
):
    site = Site(nats_server, database, receiver, mail, outage_seconds=4.0, grace_seconds=0.0)
    site.channels = ("slack",)
    async with site.working() as worker:
        await eventually(lambda: worker.conditions.ready)
        nats_server.kill()
        await site.tells(1)
    async with site.working() as worker:

        def looked():
            return worker.registry.get_sample_value("alert_look_timestamp_seconds")

        began = now_ns() / NANOSECONDS
        await eventually(lambda: looked() and looked() > began + 6)
        assert site.told()["slack"] == 1
        nats_server.start()
        await site.tells(2)


async def test_a_second_worker_stands_by_and_takes_over(site):
    site.channels = ("webhook",)
    async with site.working() as first:
        await eventually(lambda: first.conditions.ready)
        async with site.working() as second:
            await eventually(
                lambda: "standing by" in second.conditions.get("worker").detail, message="it waits"
            )
            await site.send(vpin())
            await site.tells(1)
    async with site.working():
        await site.send(vpin(), over())
        await site.tells(2)
        await site.quiet()
    assert [each.json["action"] for each in site.receiver.at("/hook")] == ["raise", "end"]


def looked_at(worker) -> float:
    return worker.registry.get_sample_value("alert_look_timestamp_seconds")


async def test_an_address_elsewhere_is_called_while_all_is_well_and_only_then(
    nats_server, database, receiver, mail
):
    ping = f"{receiver.url}/ping/secret-uuid"
    site = Site(nats_server, database, receiver, mail, ping_url=ping, ping_seconds=0.1)
    site.channels = ()
    async with site.working() as worker:
        await eventually(lambda: len(receiver.at("/ping")) >= 3)
        nats_server.pause()
        try:
            await eventually(lambda: not worker.conditions.get("worker").ok)
            called, looked = len(receiver.at("/ping")), looked_at(worker)
            await eventually(lambda: looked_at(worker) >= looked + 1)  # ten pings long
            assert len(receiver.at("/ping")) <= called + 1
        finally:
            nats_server.resume()


async def test_no_secret_is_logged_stored_or_shown_whatever_the_channels_answer(
    nats_server, database, receiver, mail
):
    ping = f"{receiver.url}/ping/ping-secret"
    quick = {"ping_seconds": 0.1, "timeout_seconds": 2.0}
    site = Site(nats_server, database, receiver, mail, ping_url=ping, **quick)
    site.channels = (*site.channels, "apprise")
    site.log = Log(level="debug")
    process = site.process()
    try:
        for answer in (Answer(200), Answer(500), Answer(403), Answer(hangs=True)):
            receiver.always = answer
            before = len(receiver.requests)
            await site.send(vpin(episode=f"e-{answer.status}-{answer.hangs}"))
            await eventually(lambda before=before: len(receiver.requests) >= before + 6)
        assert mail.login == mail.known
        mail.known = ("ops", "another-password")  # from now on it refuses ours
        receiver.stop()
        await site.send(vpin(episode="e-refused"))

        async def refused():
            query = "SELECT DISTINCT channel FROM notify.message WHERE problem IS NOT NULL"
            return len(await site.rows(query)) == len(catalogue.NAMES)

        await eventually(refused)
    finally:
        said = process.ended()
    tables = ("message", "thread", "alert", "verdict", "silence", "progress")
    stored = [
        row["text"]
        for table in tables
        for row in await site.rows(f"SELECT t::text AS text FROM notify.{table} t")
    ]
    assert all(f"channel {name}" in said for name in catalogue.NAMES)
    assert "the ping did not arrive" in said
    settings = site.settings()
    hidden = (*SECRETS, settings.postgres.dsn.split(":")[2].split("@")[0], settings.nats.password)
    for text in (said, *stored):
        for secret in hidden:
            assert secret not in text
