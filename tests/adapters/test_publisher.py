"""Is every event in the stream exactly once and in order, whatever happens to the server?"""

import asyncio
import json
from decimal import Decimal
from random import Random

import pytest
from support import PATIENCE_SECONDS, eventually

from operations.adapters import accounts
from operations.adapters.link import Access
from operations.adapters.publisher import BufferFull, Publisher
from operations.errors import Denied, Rejected, Retryable
from operations.events.news import Beat, FeedBeat
from operations.events.orders import Order, OrderSubmitted
from operations.signing import keys, message
from operations.signing.message import Signer

pytestmark = pytest.mark.integration

SUBJECT = "mts.v1.trading.order.submitted"
KEY = keys.private_key("alice", bytes(32))


def event(number, **changes):
    order = Order(symbol="AAPL", side="buy", quantity=Decimal(1))
    return OrderSubmitted(subject_id=f"ord-{number}", data=order, **changes)


def access(server, user="publisher"):
    return Access(url=server.url, user=user, password=server.password(user))


async def stored(server, first=1):
    """Every message of the stream: subject, header block as text, payload."""
    client = await server.connect()
    try:
        jetstream = client.jetstream()
        last = (await jetstream.stream_info(accounts.STREAM)).state.last_seq
        return [await jetstream.get_msg(accounts.STREAM, n) for n in range(first, last + 1)]
    finally:
        await client.close()


async def count(server):
    client = await server.connect()
    try:
        return (await client.jetstream().stream_info(accounts.STREAM)).state.messages
    finally:
        await client.close()


async def orders(server):
    return [json.loads(found.data)["subject_id"] for found in await stored(server)]


async def without_batches(server):
    """Rebuild the empty stream as an older server would have it."""
    client = await server.connect()
    try:
        answer = await client.request(f"$JS.API.STREAM.INFO.{accounts.STREAM}", b"")
        config = json.loads(answer.data)["config"] | {"allow_atomic": False}
        subject = f"$JS.API.STREAM.UPDATE.{accounts.STREAM}"
        changed = await client.request(subject, json.dumps(config).encode())
        assert "error" not in json.loads(changed.data), changed.data
    finally:
        await client.close()


async def test_what_is_missing_in_an_event_is_filled(nats_server):
    async with Publisher(access(nats_server), actor="oms-1", source="oms@host-3") as publisher:
        done = await publisher.confirm(event(1))
    (found,) = await stored(nats_server)
    envelope = json.loads(found.data)
    assert envelope["actor"] == "oms-1"
    assert envelope["source"] == "oms@host-3"
    assert envelope["event_id"] == done.event_id
    assert envelope["timestamp"].endswith("Z")
    assert found.headers["Nats-Msg-Id"] == f"{SUBJECT}:{done.event_id}"
    assert done.sequence == 1
    assert not done.duplicate


async def test_what_the_caller_filled_stays(nats_server):
    mine = event(1, event_id="id-1", timestamp="2026-01-01T00:00:00Z", actor="a", source="s")
    async with Publisher(access(nats_server)) as publisher:
        assert (await publisher.confirm(mine)).event_id == "id-1"
    (found,) = await stored(nats_server)
    envelope = json.loads(found.data)
    assert (envelope["timestamp"], envelope["actor"]) == ("2026-01-01T00:00:00Z", "a")


@pytest.mark.parametrize("atomic", [True, False])
async def test_a_server_killed_twice_among_5000_events_has_each_once_and_in_order(
    nats_server, atomic
):
    if not atomic:
        await without_batches(nats_server)
    done = []
    async with Publisher(access(nats_server), buffer_events=500) as publisher:
        for number in range(5000):
            done.append(await publisher.publish(event(number), wait=True))
            if number in (1200, 3100):
                nats_server.kill()
                restart = asyncio.create_task(asyncio.to_thread(nats_server.start))
        await restart
        await publisher.flush(PATIENCE_SECONDS)
        assert publisher.waiting == 0
        assert publisher.problem == ""
    assert await orders(nats_server) == [f"ord-{number}" for number in range(5000)]
    assert [each.result().sequence for each in done] == list(range(1, 5001))


async def test_a_paused_server_gets_each_event_once_when_it_goes_on(nats_server):
    async with Publisher(access(nats_server), acknowledge_seconds=0.3) as publisher:
        await publisher.confirm(event(0))
        nats_server.pause()
        try:
            for number in range(1, 300):
                await publisher.publish(event(number))
            await eventually(lambda: "does not answer" in publisher.problem)
        finally:
            nats_server.resume()
        await publisher.flush(PATIENCE_SECONDS)
    assert await orders(nats_server) == [f"ord-{number}" for number in range(300)]


@pytest.mark.parametrize("seed", [1, 2])
async def test_three_publishers_keep_their_order_through_random_faults(nats_server, seed):
    random, numbers = Random(seed), range(2500)

    async def publish(name, atomic):
        options = {"atomic_batches": atomic, "buffer_events": 200, "acknowledge_seconds": 0.4}
        async with Publisher(
            access(nats_server), drain_seconds=PATIENCE_SECONDS, **options
        ) as publisher:
            for number in numbers:
                subject, payload = f"mts.v1.trading.{name}", str(number).encode()
                await publisher.publish_bytes(subject, payload, str(number), wait=True)
                if random.random() < 0.01:
                    await asyncio.sleep(random.random() * 0.02)

    tasks = [asyncio.create_task(publish(name, name != "b")) for name in "abc"]
    while not all(task.done() for task in tasks):
        await asyncio.sleep(random.random() / 2)
        if random.random() < 0.5:
            nats_server.kill()
            await asyncio.to_thread(nats_server.start)
        else:
            nats_server.pause()
            await asyncio.sleep(random.random())
            nats_server.resume()
    await asyncio.gather(*tasks)
    found = [(each.subject[-1], int(each.data)) for each in await stored(nats_server)]
    for name in "abc":
        assert [number for owner, number in found if owner == name] == list(numbers)


async def test_a_backlog_goes_as_atomic_batches(nats_server):
    async with Publisher(access(nats_server)) as publisher:
        done = [await publisher.publish(event(number)) for number in range(2500)]
        await publisher.flush(PATIENCE_SECONDS)
    found = await stored(nats_server)
    assert [json.loads(each.data)["subject_id"] for each in found] == [
        f"ord-{number}" for number in range(2500)
    ]
    assert [each.result().sequence for each in done] == list(range(1, 2501))
    assert "Nats-Batch-Id" not in found[0].headers  # the first of a connection goes alone
    assert len({each.headers["Nats-Batch-Id"] for each in found[1:]}) == 3


async def test_a_stream_without_batches_takes_a_backlog_in_order(nats_server):
    await without_batches(nats_server)
    async with Publisher(access(nats_server)) as publisher:
        for number in range(2500):
            await publisher.publish(event(number))
    assert await orders(nats_server) == [f"ord-{number}" for number in range(2500)]


async def test_events_published_twice_are_stored_once_and_hold_up_no_others(nats_server):
    once = [event(number, event_id=f"id-{number}") for number in range(50)]
    async with Publisher(access(nats_server)) as publisher:
        for each in once:
            await publisher.publish(each)
    more = [event(number, event_id=f"id-{number}") for number in range(25, 75)]
    async with Publisher(access(nats_server)) as publisher:
        done = [await publisher.publish(each) for each in more]
    assert [each.result().duplicate for each in done] == [True] * 25 + [False] * 25
    assert [each.result().sequence for each in done] == list(range(26, 76))
    assert await orders(nats_server) == [f"ord-{number}" for number in range(75)]


async def test_a_publisher_that_is_full_says_so_and_waits_if_asked(nats_server):
    async with Publisher(access(nats_server), buffer_events=3) as publisher:
        await publisher.confirm(event(0))
        nats_server.kill()
        for number in range(1, 4):
            await publisher.publish(event(number))
        with pytest.raises(BufferFull, match="3 events wait for acknowledgement"):
            await publisher.publish(event(4))
        waiting = asyncio.create_task(publisher.publish(event(4), wait=True))
        with pytest.raises(Retryable, match="not acknowledged after"):
            await publisher.flush(0.05)
        assert not waiting.done()
        await asyncio.to_thread(nats_server.start)
        await (await waiting)
        await publisher.flush(PATIENCE_SECONDS)
    assert await orders(nats_server) == [f"ord-{number}" for number in range(5)]


@pytest.mark.parametrize("token", ["halt.LIFTED", "x" * 490, "it's.(a).{strange}.[one]"])
@pytest.mark.parametrize("atomic", [True, False])
async def test_a_forbidden_subject_is_denied_and_holds_up_no_others(nats_server, token, atomic):
    forbidden = f"mts.v1.operations.{token}"
    async with Publisher(access(nats_server), atomic_batches=atomic) as publisher:
        await publisher.confirm(event(0))
        mine = [await publisher.publish(event(number)) for number in range(1, 50)]
        denied = await publisher.publish_bytes(forbidden, b"{}", "id-1")
        mine += [await publisher.publish(event(number)) for number in range(50, 99)]
        with pytest.raises(Denied, match="'publisher' may not publish on mts"):
            await publisher.flush(PATIENCE_SECONDS)
        with pytest.raises(Denied):
            await denied
        await asyncio.gather(*mine)
        await publisher.flush(PATIENCE_SECONDS)
    assert await orders(nats_server) == [f"ord-{number}" for number in range(99)]


async def test_a_subject_spelt_like_a_forbidden_one_is_not_denied(nats_server):
    async with Publisher(access(nats_server)) as publisher:
        await publisher.confirm(event(0))
        mine = await publisher.publish_bytes("mts.v1.OPERATIONS.x", b"{}", "id-1")
        denied = await publisher.publish_bytes("mts.v1.operations.x", b"{}", "id-2")
        with pytest.raises(Denied):
            await publisher.flush(PATIENCE_SECONDS)
        assert (await mine).sequence == 2
        assert denied.exception()


async def test_a_refusal_that_the_caller_saw_is_not_raised_again(nats_server):
    async with Publisher(access(nats_server, "oms-1")) as publisher:
        with pytest.raises(Denied, match="may not publish"):
            await publisher.confirm(
                FeedBeat(subject_id="feed", data=Beat(feed="feed", stories=0, interval_seconds=1))
            )


async def test_a_wrong_password_is_denied(nats_server):
    wrong = Access(url=nats_server.url, user="publisher", password="wrong")
    with pytest.raises(Denied, match="refuses user 'publisher'"):
        async with Publisher(wrong):
            pass


async def test_an_inbox_that_the_user_may_not_hear_is_denied(nats_server):
    foreign = Access(
        url=nats_server.url,
        user="publisher",
        password=nats_server.password("publisher"),
        inbox="_INBOX_oms-1",
    )
    with pytest.raises(Denied, match="may not receive replies on _INBOX_oms-1"):
        async with Publisher(foreign):
            pass


async def test_a_server_that_is_not_there_is_retryable(nats_server):
    nats_server.kill()
    with pytest.raises(Retryable, match="cannot be reached"):
        async with Publisher(access(nats_server)):
            pass


async def test_what_can_never_be_published_is_rejected_before_it_is_sent(nats_server):
    async with Publisher(access(nats_server)) as publisher:
        with pytest.raises(Rejected, match="262145 bytes; the limit is 262144"):
            await publisher.publish_bytes(SUBJECT, b"x" * 262_145, "id-1")
        for subject in (
            "",
            "mts.v1.",
            "mts.v1.>",
            "mts.*.x",
            "mts.v1.a b",
            'mts.v1."',
            "mts.v1.\r\nPING",
        ):
            with pytest.raises(Rejected, match="is not a subject"):
                await publisher.publish_bytes(subject, b"{}", "id-1")
        with pytest.raises(Rejected, match="cannot be the id"):
            await publisher.publish_bytes(SUBJECT, b"{}", "a\r\nb")
        assert publisher.waiting == 0
    with pytest.raises(Retryable, match="is closed"):
        await publisher.publish(event(1))


async def test_payloads_of_the_largest_size_go_through(nats_server):
    async with Publisher(access(nats_server)) as publisher:
        for number in range(40):
            await publisher.publish_bytes(SUBJECT, b"x" * 262_144, f"id-{number}")
    assert await count(nats_server) == 40


async def test_closing_while_the_server_is_away_says_what_is_left(nats_server):
    async with Publisher(access(nats_server), drain_seconds=0.1) as publisher:
        await publisher.confirm(event(0))
        nats_server.kill()
        await publisher.publish(event(1))
        left = await publisher.publish(event(2))
        with pytest.raises(Retryable, match="2 events are not acknowledged"):
            await publisher.close()
    with pytest.raises(Retryable, match="is closed"):
        await left


COMMAND = "mts.v1.operations.command.halt"


def signed_publisher(server, user="operator"):
    return Publisher(access(server, user), signer=Signer(KEY, "mts.local/audit", "drill"))


async def test_a_signed_event_carries_a_signature_of_what_was_stored(nats_server):
    async with signed_publisher(nats_server) as publisher:
        await publisher.publish_bytes(COMMAND, b'{"n":1}', "id-1")
    (found,) = await stored(nats_server)
    signature = message.parse(found.headers[message.HEADER])
    signed = message.signed_bytes("mts.local/audit", "drill", found.subject, found.data)
    assert KEY.public.verifies(signature.raw, signed)


async def test_a_signed_event_is_stored_once_when_it_is_sent_again(nats_server):
    for _ in range(2):
        async with signed_publisher(nats_server) as publisher:
            done = await publisher.publish_bytes(COMMAND, b'{"n":1}', "id-1")
    assert done.result().duplicate
    assert not done.result().burned
    assert await count(nats_server) == 1


@pytest.mark.parametrize("signature", [None, "alice+00000000 AAAA"])
async def test_a_signed_event_whose_id_was_burned_is_stored_all_the_same(nats_server, signature):
    attacker = await nats_server.connect("publisher")
    headers = {"Nats-Msg-Id": f"{COMMAND}:id-1"}
    if signature:
        headers[message.HEADER] = signature
    # Same id and payload on a subject that the attacker may use: deduplication spans the stream.
    await attacker.request("mts.v1.trading.order.submitted", b'{"n":1}', headers=headers)
    await attacker.close()
    async with signed_publisher(nats_server) as publisher:
        done = await publisher.publish_bytes(COMMAND, b'{"n":1}', "id-1")
    assert done.result().burned
    assert done.result().sequence == 2
    assert [found.subject for found in await stored(nats_server)] == [
        "mts.v1.trading.order.submitted",
        COMMAND,
    ]


async def test_a_signed_event_that_may_not_be_read_back_is_rather_stored_twice(nats_server):
    for _ in range(2):
        async with signed_publisher(nats_server, "publisher") as publisher:
            done = await publisher.publish_bytes("mts.v1.risk.x", b"{}", "id-1")
    assert done.result().sequence == 2
    assert await count(nats_server) == 2


async def test_events_wait_until_a_stream_takes_them(nats_server):
    client = await nats_server.connect()
    async with Publisher(access(nats_server, "admin")) as publisher:
        late = [await publisher.publish_bytes("late.x", b"{}", f"id-{n}") for n in range(5)]
        await eventually(lambda: "no stream takes" in publisher.problem)
        await client.jetstream().add_stream(name="LATE", subjects=["late.>"])
        await publisher.flush(PATIENCE_SECONDS)
    await client.close()
    assert [each.result().sequence for each in late] == [1, 2, 3, 4, 5]
