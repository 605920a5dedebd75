"""Every channel that people have, and notifications that die again and again: who is told twice?"""

import json
from collections import defaultdict
from pathlib import Path

import pytest
from alert_site import Process, Site, over, vpin
from receivers import mailing, receiving
from support import eventually

from operations.adapters.channels.sender import REPEATED

pytestmark = pytest.mark.integration
STEPS = {"rewound", "folded", "decided", "committed", "sending", "answered", "sent"}
KEYED = {"pagerduty", "webhook", "email"}  # a second copy has the key of the first
WITH_ENDS = {"telegram", "slack", "pagerduty", "webhook"}


@pytest.fixture
async def site(nats_server, database):
    """A firm whose notifications have begun before, so that nothing of it is history."""
    with receiving() as receiver, mailing() as mail:
        made = Site(nats_server, database, receiver, mail, burst=50)
        made.channels = (*made.channels, "apprise")
        async with made.working() as worker:
            await eventually(lambda: worker.conditions.ready, "it has begun")
        yield made


def heard(site: Site) -> dict[str, list[str]]:
    """Return what arrived on each channel, as far as it names what is sent."""
    found: dict[str, list[str]] = defaultdict(list)
    paths = {"slack": "/services", "telegram": "/bot", "pagerduty": "/v2", "webhook": "/hook"}
    paths |= {"notion": "/v1/pages", "apprise": "/any"}
    for channel, path in paths.items():
        found[channel] += [json.dumps(each.json) for each in site.receiver.at(path)]
    found["email"] += [f"{each['Subject']} {each.as_string()}" for each in site.mail.mails]
    return found


def about(messages: list[str], episode: str) -> list[str]:
    return [each for each in messages if f"toxic flow in {episode}" in each]


async def told(site: Site, raised: int, ended: int = 0) -> None:
    """Wait until each channel was told of so many beginnings and ends, and nothing is left."""
    wanted = {name: raised + (ended if name in WITH_ENDS else 0) for name in site.channels}

    def there() -> bool:
        assert site.told() == wanted
        return True

    await eventually(there, "everybody is told")
    await site.quiet()
    assert site.told() == wanted


async def test_killed_between_episodes_every_channel_hears_of_each_exactly_once(site):
    first = site.process()
    try:
        await site.send(vpin(episode="e-1"))
        await told(site, 1)
    finally:
        first.end()
    await site.send(vpin(episode="e-1"), vpin(episode="e-2"), over("e-1"))
    second = site.process()
    try:
        await told(site, 2, 1)
    finally:
        second.end()
    third = site.process()
    try:
        await site.send(vpin(episode="e-3"), vpin(episode="e-2"), over("e-2"), over("e-2"))
        await told(site, 3, 2)
    finally:
        third.end()
    for messages in heard(site).values():
        assert not [each for each in messages if REPEATED in each]
        assert len(about(messages, "e-3")) == 1


async def test_killed_at_each_of_its_steps_every_channel_hears_once_or_is_told_of_the_doubt(
    site, tmp_path
):
    kills = tmp_path / "kills"
    await site.send(vpin(), over("e-0"))
    process = await killed_at_each_step(site, kills)
    try:
        await site.send(over(), vpin(episode="e-2"))
        await eventually(lambda: each_has(site, "e-2"), "every channel hears of the next")
        await site.quiet()
    finally:
        process.end()
    for channel, messages in heard(site).items():
        for episode, ends in (("e-1", channel in WITH_ENDS), ("e-2", False)):
            said = about(messages, episode)
            once = set(map(without_doubt, said))
            assert len(once) == 1 + ends, f"{channel} {episode}: {said}"
            unmarked = [each for each in said if REPEATED not in each]
            assert len(unmarked) <= len(once) or channel in KEYED, f"{channel} {episode}: {said}"


async def killed_at_each_step(site: Site, kills: Path) -> Process:
    """Start it until it has killed itself at every step; returns the one that lives on."""
    while True:
        process = site.process("--each", kills, 1, 1)
        if killed(kills) >= STEPS:
            return process
        try:
            await process.died()
        finally:
            process.end()


def killed(kills: Path) -> set[str]:
    return {*kills.read_text().split()} if kills.exists() else set()


def each_has(site: Site, episode: str) -> bool:
    return all(about(messages, episode) for messages in heard(site).values())


def without_doubt(message: str) -> str:
    """Take out the line that says that it may have come before, as each channel writes it."""
    return message.replace(f"{REPEATED}\\n", "").replace(f"{REPEATED}\n", "")
