"""Does the reader give every message in order, in bounded memory, and notice what is missing?"""

import asyncio

import pytest
from pipeline import Site, fill, orders
from support import PATIENCE_SECONDS

from operations.adapters import stream, wire
from operations.adapters.stream import ApiError, Reader
from operations.audit import chain
from operations.errors import Retryable

pytestmark = pytest.mark.integration


@pytest.fixture
async def client(nats_server, database, tmp_path):
    site = Site(nats_server, database, tmp_path)
    async with wire.connection(site.settings("audit").nats, "test") as connected:
        yield connected


@pytest.fixture
def reader(client):
    return Reader(client, "MTS", "audit")


async def read_all(reader: Reader, count: int) -> list[int]:
    found: list[int] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(found) < count:
            found += [chain.position(each[1])[0] for each in await reader.read(most=700)]
    return found


async def test_messages_come_in_order_from_any_sequence_on(nats_server, reader):
    last = await fill(nats_server, orders(10_000))
    await reader.rewind(1)
    assert await read_all(reader, last) == list(range(1, last + 1))
    await reader.rewind(9_990)
    assert await read_all(reader, 11) == list(range(9_990, last + 1))
    await reader.close()


async def test_what_a_filter_leaves_out_is_not_taken_as_missed(
    nats_server, database, tmp_path, monkeypatch
):
    monkeypatch.setattr(stream, "LOOK_SECONDS", 0.0)
    settings = Site(nats_server, database, tmp_path).settings("limits")
    async with wire.connection(settings.nats, "limits") as connected:
        reader = Reader(connected, "MTS", "limits", filtered=True)
        await reader.rewind(1)
        last = await fill(nats_server, [(b"mts.v1.news.a", b"", b"{}"), *orders(3)])
        assert await read_all(reader, 1) == [last - 3]
        assert not await reader.has_more()
        rewound = []
        monkeypatch.setattr(reader, "rewind", rewound.append)
        for _ in range(3):
            assert await reader.read(wait_seconds=0.05) == []
        assert rewound == []
        await fill(nats_server, [(b"mts.v1.news.a", b"", b"{}")])
        assert await read_all(reader, 1) == [last + 1]
        await reader.close()


async def test_what_was_not_read_yet_stays_within_bounds(nats_server, reader):
    await fill(nats_server, [(b"mts.v1.big", b"", b"x" * 500_000)] * 60)
    await reader.rewind(1)
    largest = 0
    async with asyncio.timeout(PATIENCE_SECONDS):
        for sequence in range(1, 61):
            while not (taken := await reader.read(most=1)):
                pass
            assert chain.position(taken[0][1])[0] == sequence
            largest = max(largest, reader._buffered_bytes)
            await asyncio.sleep(0)
    assert largest <= 2 * stream.PULL_BYTES + stream.PULL_BYTES
    await reader.close()


async def test_only_the_stream_says_what_is_a_gap(nats_server, client, reader):
    await fill(nats_server, orders(5))
    await reader.rewind(1)
    messages = []
    while len(messages) < 5:
        messages += await reader.read()
    assert not await reader.is_gap(2, messages[2:])
    assert await reader.is_gap(3, messages[1:])
    assert await stream.first_from(client, "MTS", 0) == 1
    assert await stream.first_from(client, "MTS", 4) == 4
    assert await stream.first_from(client, "MTS", 6) is None
    await reader.close()


async def test_a_message_of_the_largest_size_can_be_asked_for(nats_server, client):
    await fill(nats_server, [(b"mts.v1.big", b"", b"\xff" * 1024 * 1024)])
    assert await stream.first_from(client, "MTS", 1) == 1


async def test_the_api_says_what_was_refused(client, monkeypatch):
    with pytest.raises(ApiError, match="STREAM") as refused:
        await stream.request(client, "STREAM.INFO.MTS", {"subjects_filter": 7})
    assert refused.value.code
    monkeypatch.setattr(stream, "REQUEST_SECONDS", 0.3)
    with pytest.raises(Retryable, match="did not answer"):
        await stream.info(client, "OTHER")


async def read_until_it_fails(reader: Reader) -> None:
    for _ in range(20):
        await reader.read(wait_seconds=0.5)


async def test_a_lost_connection_is_an_error_at_once(nats_server, reader):
    await reader.rewind(1)
    nats_server.stop()
    with pytest.raises(Retryable, match=r"connection to NATS is lost|did not answer"):
        await read_until_it_fails(reader)


async def test_a_consumer_that_was_deleted_is_an_error(nats_server, reader):
    await reader.rewind(1)
    admin = await nats_server.connect()
    await admin.request("$JS.API.CONSUMER.DELETE.MTS.audit")
    await admin.close()
    with pytest.raises(Retryable, match="Consumer Deleted"):
        await read_until_it_fails(reader)
