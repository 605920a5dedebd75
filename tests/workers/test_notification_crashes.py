"""Killed at any step: is each channel told exactly once, and can it recognise a second copy?"""

import pytest
from alert_site import Site, over, vpin
from receivers import Answer, mailing, receiving
from support import eventually

from operations.notifications.message import REPEATED

pytestmark = pytest.mark.integration


@pytest.fixture
def site(nats_server, database):
    with receiving() as receiver, mailing() as mail:
        yield Site(nats_server, database, receiver, mail)


async def kills_itself(site, step, count=1):
    """Start the worker as a process that kills itself at a step, and wait until it has."""
    dying = site.process(step, count, "KILL")
    try:
        await dying.died()
    finally:
        dying.end()


STEPS = ["rewound", "folded", "decided", "committed", "sending"]
# How each channel may know a second copy: by its key, or by the words that it may be one.
COPIES = ("pagerduty", "email", "webhook", "slack", "telegram", "notion", "apprise")


@pytest.mark.parametrize("step", STEPS)
async def test_killed_at_any_step_before_sending_it_hears_exactly_once(site, step):
    site.channels = ("slack",)
    await site.send(vpin(episode="e-0", severity="warning"))  # before the first start
    async with site.working() as worker:
        await eventually(lambda: worker.conditions.ready)
    await site.send(vpin())
    await kills_itself(site, step, 2 if step == "folded" else 1)
    assert site.told()["slack"] == 0
    async with site.working():
        await site.tells(1)
        await site.send(over())
        await site.tells(2)
        await site.quiet()
    raised, ended = (each.json["text"] for each in site.receiver.at("/services"))
    assert (REPEATED in raised) is (step == "sending")
    assert ended.startswith("[critical] over: toxic flow in e-1")


@pytest.mark.parametrize("channel", COPIES)
async def test_killed_after_the_answer_it_is_sent_again_under_the_same_key(site, channel):
    site.channels = (channel,)
    async with site.working() as worker:
        await eventually(lambda: worker.conditions.ready)
    await site.send(vpin())
    await kills_itself(site, "answered")
    async with site.working():
        await site.tells(2)
        await site.quiet()
    match channel:
        case "pagerduty":
            keys = [each.json["dedup_key"] for each in site.receiver.at("/v2")]
        case "webhook":
            keys = [each.headers["idempotency-key"] for each in site.receiver.at("/hook")]
        case "email":
            keys = [each["Message-ID"] for each in site.mail.mails]
        case _:
            first, second = (each.body.decode() for each in site.receiver.requests)
            assert REPEATED not in first
            assert REPEATED in second
            keys = [first, second.replace(f"{REPEATED}\\n", "")]
    assert len(keys) == 2
    assert len(set(keys)) == 1


async def test_killed_after_it_is_written_down_nothing_is_sent_again(site):
    site.channels = ("slack",)
    async with site.working() as worker:
        await eventually(lambda: worker.conditions.ready)
    await site.send(vpin())
    await kills_itself(site, "sent")
    async with site.working():
        await site.send(over())
        await site.tells(2)
        await site.quiet()
    assert [REPEATED in each.body.decode() for each in site.receiver.requests] == [False, False]


async def test_killed_before_a_failure_is_written_down_it_is_tried_again(site):
    site.channels = ("slack",)
    async with site.working() as worker:
        await eventually(lambda: worker.conditions.ready)
    site.receiver.answers.append(Answer(500))
    await site.send(vpin())
    await kills_itself(site, "undelivered")
    async with site.working():
        await site.tells(2)
        await site.quiet()
    assert REPEATED in site.receiver.requests[1].body.decode()  # nobody knows what it answered
