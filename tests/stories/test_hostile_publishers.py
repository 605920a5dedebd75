"""Publishers who send what no publisher should: nothing is lost, no reader is silenced."""

import base64
import json
import random

import pytest
from pipeline import (
    Message,
    RawPublisher,
    Site,
    fill,
    messages_in,
    orders,
    read_log,
    stream_state,
)
from support import eventually

from operations.adapters import accounts
from operations.audit import entry
from operations.audit.projection import Row, project

pytestmark = pytest.mark.integration

JSON = b'{"actor":"mallory","subject_id":"x"}'
DEEP = b'{"actor":"deep","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
SUBJECTS: list[Message] = [
    (subject, b"", JSON)
    for subject in (
        b"mts.v1.\xff.\xfe", b"mts.v1.a\x0bb", b"mts.v1.a\x0cb", b"mts.v1.a\x00b",
        b"mts.v1.\x1b[2J",
        b"mts.v1." + b"a" * 3990, b"mts.v1." + b"a." * 1000 + b"z", b"mts.v1.\xc3\x28",
        b"mts.v1.MSG", b"mts.v1.+OK", b"mts.v1.'\"\\", b"mts.v1.audit.gap",
    )
]  # fmt: skip
HEADERS: list[Message] = [
    (b"mts.v1.headers", block, JSON)
    for block in (
        b"NATS/1.0\r\n\r\n", b"junk", b"\x00\xff\x0b", b"NATS/1.0", b"\r\n\r\n",
        b"NATS/1.0 503\r\n\r\n", b"NATS/1.0 100 Idle Heartbeat\r\n\r\n",
        b"NATS/1.0 408 Request Timeout\r\n\r\n", b"NATS/1.0 409 Consumer Deleted\r\n\r\n",
        b"NATS/1.0\r\nno colon\r\n\r\n", b"NATS/1.0\r\nA: \xff\r\n\r\n", b"NATS/1.0\r\n: \r\n\r\n",
        b"NATS/1.0\r\nA: b\r\nA: c\r\n\r\n", b"NATS/1.0\r\nA: " + b"b" * 60_000 + b"\r\n\r\n",
    )
]  # fmt: skip
PAYLOADS: list[Message] = [
    (b"mts.v1.payload", b"", data)
    for data in (
        b"", b"\x00", b"\xff\xfe\xfd", b"\r\nMSG mts.v1.forged 1 2\r\nhi\r\n", b"PING\r\n", b"{",
        b'{"actor":"a","actor":"b","subject_id":1,"subject_id":"two"}', b"\xef\xbb\xbf{}", b"nan",
        b'{"actor":"\\u0000","order_id":"\\ud800"}', b'{"n":' + b"9" * 5000 + b"}",
        b'{"n":1e999999}',
        b'{"order_id":"' + b"o" * 5000 + b'"}', b'{"actor":"' + b"a" * 300 + b'"}', b"[]",
        b'"text"',
        b"\x01" * (1024 * 1024), b'{"a":"' + b"b" * (1024 * 1024 - 8) + b'"}', DEEP,
        b"[" * 1_000_000, b'{"a":' * 150_000, random.Random(1).randbytes(500_000),
    )
]  # fmt: skip
ALL = SUBJECTS + HEADERS + PAYLOADS


@pytest.fixture
def site(nats_server, database, tmp_path):
    return Site(nats_server, database, tmp_path)


async def test_whatever_the_server_stores_is_in_the_log_byte_for_byte(site):
    async with site.working("audit", "checkpoint", "projection"):
        last = await fill(site.nats, [*ALL, *orders(3)])
        await site.sealed_to(last)
        size = len(await read_log(site.database))
        newest = "SELECT max(size) FROM audit.checkpoint"
        await eventually(lambda: is_equal(site, newest, size), "it is signed")
        await eventually(lambda: is_equal(site, "SELECT count(*) FROM audit.event", size))
    await assert_same(site, [*ALL, *orders(3)])
    await assert_projected(site)


async def assert_same(site: Site, published: list[Message]):
    """Subjects and payloads as published, header blocks as the stream holds them.

    The server drops the status line of a block that has one before it stores the message.
    """
    found = await messages_in(site.database)
    assert [(subject, data) for subject, _, data in found] == [
        (subject, data) for subject, _, data in published
    ]
    admin = await site.nats.connect()
    for sequence, (made, given) in enumerate(zip(found, published, strict=True), 1):
        if made == given:
            continue
        answer = await admin.request("$JS.API.STREAM.MSG.GET.MTS", b'{"seq":%d}' % sequence)
        stored = json.loads(answer.data)["message"]
        assert base64.b64decode(stored.get("hdrs", "")) == made[1]
        assert given[1].startswith(b"NATS/1.0")
    await admin.close()


async def is_equal(site: Site, query: str, value: int) -> bool:
    return await site.fetchval(query) == value


async def assert_projected(site: Site):
    """The read model is what `project` makes of each entry, as the database shows it."""
    connection = await site.database.connect()
    entries = await connection.fetch("SELECT entry FROM audit.entry ORDER BY sequence")
    columns = ", ".join(f"{each}::text" if each == "data" else each for each in Row._fields)
    found = await connection.fetch(f"SELECT {columns} FROM audit.event ORDER BY sequence")
    await connection.close()
    made = [project(entry.decode(row["entry"])) for row in entries]
    assert [Row(*row)._replace(data=None) for row in found] == [
        row._replace(data=None) for row in made
    ]
    assert [row["data"] is None for row in found] == [row.data is None for row in made]


@pytest.mark.parametrize("seed", range(3))
async def test_random_bytes_are_in_the_log_byte_for_byte(site, seed):
    source = random.Random(seed)
    messages = []
    for _ in range(300):
        subject = bytes(source.choice(b"ab.\xff\x0b\x0c\x00\x7f") for _ in range(20)).strip(b".")
        subject = b"mts.v1." + b".".join(filter(None, subject.split(b"."))) + b".z"
        headers = source.choice([b"", source.randbytes(30), b"NATS/1.0" + source.randbytes(9)])
        messages.append((subject, headers, source.randbytes(source.randrange(2000))))
    async with site.working("audit", "checkpoint"):
        await site.sealed_to(await fill(site.nats, messages))
    await assert_same(site, messages)


REPLIES = [
    *(f"{accounts.inbox(user.name)}.x" for user in accounts.USERS),
    *(f"$JS.API.{verb}.MTS" for verb in ("STREAM.DELETE", "STREAM.PURGE", "STREAM.INFO")),
    "$JS.API.CONSUMER.DELETE.MTS.audit",
    "$JS.API.CONSUMER.RESET.MTS.audit",
    "$JS.API.CONSUMER.MSG.NEXT.MTS.audit",
    "$JS.ACK.MTS.audit.1.1.1.1.1",
    "$JS.ACK.MTS.audit.1.99999.99999.1.0",
    "mts.v1.operations.halt.requested",
    "mts.v1.operations.command.resume",
    "ops.v1.audit.checkpoint",
    "mts.v1.trading.order.filled",
]


# Everybody who may store an event at all, and a subject of theirs.
MAY_PUBLISH = {
    user.name: right.replace(">", "x").replace("*", "x")
    for user in accounts.USERS
    for right in user.publish
    if right.startswith("mts.v1.")
} | {accounts.ADMIN: "mts.v1.x"}


async def test_no_reply_subject_silences_a_reader(site):
    """The server answers where a publisher says: whatever that starts, the log stays whole."""
    async with site.working("audit", "checkpoint") as workers:
        await eventually(lambda: workers[0].conditions.ready)
        for user, subject in MAY_PUBLISH.items():
            async with RawPublisher(site.nats, user) as publisher:
                for reply in REPLIES:
                    publisher.publish(subject.encode(), b"", JSON, reply.encode())
                await publisher.flush()
                refused = sum(reply.startswith("$JS.ACK.") for reply in REPLIES)
                assert len(publisher.errors) == refused
        await fill(site.nats, orders(3))
        # What the server answers on a subject of the stream is stored there, a moment later.
        stored = len(REPLIES) - refused + sum(reply.startswith("mts.v1.") for reply in REPLIES)

        async def everything_stored() -> bool:
            return (await stream_state(site.nats))["messages"] == len(MAY_PUBLISH) * stored + 3

        await eventually(everything_stored, "all answers are stored")
        await site.sealed_to((await stream_state(site.nats))["last_seq"])
    state = await stream_state(site.nats)
    found = await messages_in(site.database)
    assert len(found) == state["messages"] == state["last_seq"]
    assert sum(data == JSON for _, _, data in found) == len(MAY_PUBLISH) * (len(REPLIES) - refused)
    assert [each for each in found if each in orders(3)] == orders(3)
