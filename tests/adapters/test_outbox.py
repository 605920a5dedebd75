"""Does the outbox give out what is due, also after a clock was set back or a stream made anew?"""

import pytest
from alert_cases import START_NS, Office, finding

from operations.adapters import outbox
from operations.adapters.channels.sender import Undelivered
from operations.adapters.outbox import Round
from operations.clock import NANOSECONDS
from operations.config import Postgres
from operations.notifications.message import message_of

pytestmark = pytest.mark.integration
HOUR_NS = 3600 * NANOSECONDS


@pytest.fixture
async def box(database):
    settings = Postgres(dsn=database.dsn("mts_notifier"), database=database.name)
    async with outbox.opened(settings) as opened:
        await opened.take_over()
        await opened.progress(1, 0)
        yield opened


async def decided(box, *events):
    """Write down what is decided at START_NS about some events."""
    office = Office()
    office.hear(*events)
    messages = [(each, message_of(each, each.action, "docs", START_NS)) for each in office.sent]
    sequence = office.episodes.sequence
    known = [*office.episodes.by_id.values()]
    await box.commit(Round(messages, office.verdicts, known, (), sequence, sequence, START_NS))


async def test_what_is_new_goes_out_at_once_though_the_clock_was_set_back(box):
    await decided(box, finding())
    due = await box.next_due("slack", START_NS - 24 * HOUR_NS)
    assert due.message.headline == "[critical] e-1 is the matter"


@pytest.mark.parametrize(("hours", "is_due"), [(0, False), (1, True), (-1, True), (-24, True)])
async def test_no_channel_is_left_alone_for_longer_than_it_may_ask(box, hours, is_due):
    await decided(box, finding())
    due = await box.next_due("slack", START_NS)
    await box.later(due, START_NS, Undelivered("busy", 1800.0))
    again = await box.next_due("slack", START_NS + hours * HOUR_NS)
    assert (again is not None) is is_due


async def test_only_the_first_stream_ever_has_a_history_that_is_no_news(box):
    assert await box.progress(1, 7) == (0, 0)
    assert await box.progress(2, 7) == (0, 0)


async def test_what_was_told_of_a_stream_is_known_though_the_one_before_was_longer(box):
    await box.progress(2, 0)
    await decided(box, finding(), finding(episode="e-2"))
    async with box._alone() as connected:
        await connected.execute("UPDATE notify.thread SET closed = true")
        await connected.execute(
            "UPDATE notify.progress SET sequence = 1 + 999 * (stream_created_ns = 1)::int"
        )
    assert len((await box.told(0)).threads) == 8
