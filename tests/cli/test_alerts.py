"""Do people see who was told and why not, and can only those acknowledge and silence who may?"""

import asyncio
import json
import re

import pytest
from alert_site import Site, over, vpin
from commands import assert_harmless
from halting import halt_order
from obedient import mts, register
from receivers import Answer, mailing, receiving
from support import eventually
from terminals import at_a_terminal, plain

from operations.signing import keys

pytestmark = pytest.mark.integration


@pytest.fixture
def site(nats_server, database):
    with receiving() as receiver, mailing() as mail:
        made = Site(nats_server, database, receiver, mail)
        made.channels = ("slack", "pagerduty")
        yield made


async def run(site, *arguments, key=""):
    command = mts(site.firm)
    command.settings["MTS_POSTGRES_DSN"] = site.database.dsn("mts_reader")
    if key:
        command.settings["MTS_PERSON_KEY_FILE"] = str(key)
    return await asyncio.to_thread(command, "alerts", *arguments)


async def listed(site, *arguments):
    said = await run(site, "list", "--output", "json", *arguments)
    assert said.code == 0, said.err
    return json.loads(said.out)


async def test_nothing_is_the_matter_and_nothing_is_silenced(site):
    said = await run(site, "list")
    assert (said.code, said.out) == (0, "✓ no alert goes on\n")
    assert await listed(site) == {
        "alerts": [], "silences": [], "waiting": 0, "failed": 0, "unsent": [],
    }  # fmt: skip
    wrong = await run(site, "list", "--ended", "-1")
    assert (wrong.code, "Must be >= 0" in wrong.err) == (2, True)


async def test_what_goes_on_is_listed_with_who_was_told_and_shown_with_why(site):
    async with site.working() as worker:
        await eventually(lambda: worker.conditions.ready)
        await site.send(vpin(episode="episode-1", title="bad\x1b[2J"))
        await site.send(vpin(episode="episode-2", severity="warning"))
        await eventually(lambda: site.told() | {"slack": 2, "pagerduty": 1} == site.told())
        await site.quiet()
        said = await run(site, "list")
        assert said.out.startswith("! 2 alerts go on\n")
        assert_harmless(said.out)
        first, second = (await listed(site))["alerts"]
        assert (first["state"], first["episode"]["id"]) == ("open", "episode-1")
        assert second["channels"] == {"pagerduty": "below_severity", "slack": "told_already"}
        assert [each["state"] for each in second["messages"]] == ["sent"]
        said = await run(site, "show", "episode-2")
        assert "docs/runbooks/vpin.md" in said.out
        assert "below_severity" in said.out
        assert "value 0.61 against 0.4, 600 samples" in said.out
        for command in (("list",), ("show", "episode-2")):
            code, text = await asyncio.to_thread(
                at_a_terminal, _with_database(site), [], "alerts", *command
            )
            assert code == 0
            lines = plain(text).replace("\r", "").split("\n")
            assert max(map(len, lines)) <= 80
        assert "told pagerduty, slack  episode-1" in _listing(site)
        await site.send(over("episode-1"), over("episode-2"))
        await eventually(lambda: site.told() | {"slack": 4} == site.told())
        await site.quiet()
    assert (await listed(site))["alerts"] == []
    assert {each["state"] for each in (await listed(site, "--ended", "5"))["alerts"]} == {"over"}


def _listing(site):
    _, text = at_a_terminal(_with_database(site), [], "alerts", "list")
    return plain(text)


def _with_database(site):
    command = mts(site.firm)
    command.settings["MTS_POSTGRES_DSN"] = site.database.dsn("mts_reader")
    return command


@pytest.mark.parametrize("name", ["episode-9", "epis", "episode"])
async def test_an_id_that_names_none_or_several_is_refused(site, name):
    async with site.working():
        await site.send(vpin(episode="episode-1"), vpin(episode="episode-2"))
        await site.tells(2)
        await site.quiet()
    said = await run(site, "show", name)
    assert said.code == 2
    words = {
        "episode-9": "names no alert; ids stand in `mts alerts list",
        "epis": "give at least its first 6 characters",
        "episode": "give more of the id",
    }
    assert words[name] in said.err


async def test_an_acknowledgement_by_the_beginning_of_an_id_quiets_the_pager(site):
    async with site.working():
        await site.send(vpin(episode="episode-1"))
        await site.tells(1)
        said = await run(site, "ack", "episod", "--reason", "looking")
        assert (said.code, said.out) == (0, "✓ episode-1 is acknowledged\n"), said.err
        await eventually(lambda: len(site.receiver.at("/v2")) == 2)
        await site.quiet()
    assert site.receiver.at("/v2")[1].json["event_action"] == "acknowledge"
    (alert,) = (await listed(site))["alerts"]
    assert (alert["state"], alert["episode"]["acknowledged_by"]) == ("acknowledged", "operator")


async def test_a_silence_needs_a_reason_and_an_end_and_stands_in_the_list(site):
    for wrong in (
        ["--until", "2h"],
        ["--until", "tomorrow", "--reason", "x"],
        ["--until", "31d", "--reason", "x"],
        ["--until", "\N{SUPERSCRIPT TWO}h", "--reason", "x"],
        ["--until", "2020-01-01T00:00:00Z", "--reason", "x"],
        ["--until", "0m", "--reason", "x"],
    ):
        said = await run(site, "silence", *wrong)
        assert (said.code, said.out) == (2, ""), wrong
        assert "Traceback" not in said.err
    async with site.working():
        words = ("silence", "--until", "2h", "--check", "vpin", "--reason", "known")
        said = await run(site, *words, "--output", "json")
        assert said.code == 0, said.err
        assert "vpin: silenced until" in json.loads(said.out)["words"]

        async def known():
            return (await listed(site))["silences"]

        (silence,) = await eventually(known)
        assert (silence["check"], silence["by"], silence["reason"]) == ("vpin", "operator", "known")
        await site.send(vpin())

        async def held():
            found = (await listed(site))["alerts"]
            return found and found[0]["channels"]["slack"] == "silenced"

        await eventually(held)
        end = ("silence", "--until", "0m", "--reason", "done", "--replace")
        said = await run(site, *end, "mistyped")
        assert (said.code, "'mistyped' names no silence of those that hold" in said.err) == (
            2,
            True,
        )
        said = await run(site, *end, silence["id"][:-1])
        assert (said.code, said.out) == (0, f"✓ silence {silence['id']} is over\n")
        await site.tells(1)
    assert (await listed(site))["silences"] == []


async def test_who_may_not_is_told_so_and_nothing_is_stored(site, tmp_path):
    foreign = keys.new_key("mallory")
    file = tmp_path / "mallory.key"
    file.write_text(f"{foreign.secret_text()}\n")
    file.chmod(0o600)
    unknown = await run(site, "silence", "--until", "2h", "--reason", "x", key=file)
    assert (unknown.code, "unknown key" in unknown.err) == (5, True)
    service = site.firm.base.path("keys", "service-limits.key")
    denied = await run(site, "silence", "--until", "2h", "--reason", "x", key=service)
    assert (denied.code, "may not sign" in denied.err) == (5, True)
    assert await site.firm.stored("mts.v1.operations.command.>") == []


async def test_what_waits_and_what_can_never_be_sent_is_said_first(site):
    site.receiver.always = Answer(404)
    async with site.working():
        await site.send(vpin())

        async def failed():
            return (await listed(site))["failed"] >= 2

        await eventually(failed)
    said = await run(site, "list")
    assert "of the last day can never be sent by slack: 127.0.0.1" in said.err
    assert "answered 404" in said.err
    assert "pagerduty (failed), slack (failed)" in said.out


async def test_what_waits_is_said_with_its_channel_and_ends_when_that_is_turned_off(site):
    site.receiver.always = Answer(500)
    site.channels = ("slack", "webhook")

    async def waiting():
        # A channel that fails for long is told on the others, so it may be more than one message.
        found = (await listed(site))["unsent"]
        return {each["channel"] for each in found if each["waiting"]}

    async def waits():
        return await waiting() == {"slack", "webhook"}

    async with site.working():
        await site.send(vpin())
        await eventually(waits)
        said = await run(site, "list")
        assert re.search(r"\d messages? waits? for slack: 127\.0\.0\.1", said.err), said.err
    site.channels = ("webhook",)
    async with site.working() as worker:
        await eventually(lambda: worker.conditions.get("worker"))

        async def gave_up():
            return await waiting() == {"webhook"}

        await eventually(gave_up)
    said = await run(site, "list")
    assert "slack: the channel was turned off" in said.err


async def test_what_nobody_clears_is_closed_with_a_reason_and_a_halt_is_not(site):
    async with site.working(), site.firm.working():
        await site.send(vpin(episode="episode-1"))
        await site.send(halt_order("halt-1"), key="operator", user="operator")

        async def both():
            ids = {each["episode"]["id"] for each in (await listed(site))["alerts"]}
            return ids >= {"episode-1", "halt-1"}

        await eventually(both)
        assert "a reason is needed" in (await run(site, "close", "episode-1")).err
        refused = await run(site, "close", "halt-1", "--reason", "x")
        assert (refused.code, "lift it with mts cmd resume" in refused.err) == (2, True)
        said = await run(site, "close", "episod", "--reason", "the strategy was retired")
        assert (said.code, "told again" in said.out) == (0, True), said.err
        words = "closed by: operator: the strategy was retired"
        texts = site.receiver.requests
        await eventually(lambda: any(words in each.body.decode() for each in texts))
        shown = await run(site, "show", "episode-1")
        assert "by operator: the strategy was retired" in shown.out
        for late in (("ack", "episode-1"), ("close", "episode-1", "--reason", "x")):
            said = await run(site, *late)
            assert (said.code, "episode-1 is over since" in said.err) == (2, True)
    found = await listed(site, "--ended", "5")
    states = {each["episode"]["id"]: each["state"] for each in found["alerts"]}
    assert (states["halt-1"], states["episode-1"]) == ("open", "closed")


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        (("--check", "vpn"), "nothing finds 'vpn', nothing was done; did you mean vpin?"),
        (("--fund", "alpa"), "no fund 'alpa' is registered, nothing was done; did you mean alpha?"),
        (("--strategy", "beta-momentun"), "did you mean beta-momentum?"),
    ],
)
async def test_a_silence_of_what_does_not_exist_would_silence_nothing_and_is_refused(
    site, scope, words
):
    await register(site.firm)
    said = await run(site, "silence", "--until", "2h", "--reason", "x", *scope)
    assert (said.code, words in said.err) == (2, True), said.err
    assert await site.firm.stored("mts.v1.operations.command.>") == []


async def test_without_a_database_an_alert_is_acknowledged_by_its_whole_id(site):
    command = mts(site.firm)
    command.settings["MTS_POSTGRES_DSN"] = "postgres://nobody@127.0.0.1:1/mts"
    said = await asyncio.to_thread(command, "alerts", "ack", "episode-1")
    assert said.code == 0, said.err
    assert "cannot be looked up, give it whole" in said.err
    assert said.out == "✓ ordered: episode-1 is acknowledged, if that is a whole id\n"
    assert (await asyncio.to_thread(command, "alerts", "list")).code == 2
