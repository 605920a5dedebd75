"""Is a stream that is not the one the log was made from told apart from one that is?"""

import pytest
from pipeline import Site, fill, orders

from operations.adapters import continuity, stream, wire
from operations.adapters.continuity import StreamChanged
from operations.adapters.stream import Reader
from operations.audit import chain
from operations.audit.chain import Tail

pytestmark = pytest.mark.integration


@pytest.fixture
async def parts(nats_server, database, tmp_path):
    """A client, a reader, and the tail of the log of a stream with five events."""
    site = Site(nats_server, database, tmp_path)
    await fill(nats_server, orders(5))
    async with wire.connection(site.settings("audit").nats, "audit") as client:
        found = await stream.info(client, "MTS")
        reader = Reader(client, "MTS", "audit")
        await reader.rewind(1)
        messages = []
        while len(messages) < 5:
            messages += await reader.read()
        genesis = chain.first_entry("log", "key", "MTS", found.created_ns)
        sealed = chain.seal(genesis.head, messages)
        yield client, reader, Tail(sealed.head, sealed.hashes[-2])
        await reader.close()


async def test_the_same_stream_is_read_on_from_the_head(nats_server, parts):
    client, reader, tail = parts
    await continuity.resume(client, reader, "MTS", tail)
    await fill(nats_server, orders(1, first=5))
    (message,) = await reader.read(wait_seconds=5)
    assert chain.position(message[1])[0] == 6


async def test_a_log_whose_last_entry_is_its_own_is_not_compared(parts):
    client, reader, tail = parts
    await continuity.resume(client, reader, "MTS", Tail(tail.head._replace(hash=b""), None))
    assert await reader.read(wait_seconds=0.1) == []


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ({"stream_created_ns": 1}, "was created"),
        ({"stream_sequence": 6}, "ends at sequence 5"),
        ({"hash": bytes(32)}, "is not the one that entry 5"),
        ({"stream_sequence": 4}, "message at sequence 4"),
        ({"size": 7}, "is not the one that entry 6"),
    ],
)
async def test_another_stream_is_refused_with_the_difference(parts, head, reason):
    client, reader, tail = parts
    with pytest.raises(StreamChanged, match=reason):
        await continuity.resume(
            client, reader, "MTS", Tail(tail.head._replace(**head), tail.previous_hash)
        )
