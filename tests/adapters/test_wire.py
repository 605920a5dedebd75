"""Are frames split by their lengths alone, whatever bytes they hold and however they arrive?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline import RawPublisher
from support import NatsHandle, eventually

from operations.adapters import accounts, wire
from operations.adapters.wire import WireClient
from operations.config import Nats
from operations.errors import Retryable

HOSTILE = st.text("ab.\x0b\x0c\x00\x1b\u00ff", min_size=1).map(lambda text: text.encode("latin-1"))
FRAMES = st.lists(
    st.tuples(HOSTILE, st.one_of(st.just(b""), HOSTILE), st.binary(), st.binary()), max_size=5
)


def frame(subject: bytes, reply: bytes, headers: bytes, data: bytes) -> bytes:
    words = [b"HMSG" if headers else b"MSG", subject, b"7", *filter(None, [reply])]
    words += [b"%d" % len(headers)] if headers else []
    words += [b"%d" % (len(headers) + len(data))]
    return b" ".join(words) + b"\r\n" + headers + data + b"\r\n"


@pytest.mark.unit
@given(FRAMES, st.integers(1, 40))
async def test_frames_in_pieces_of_any_size_are_handed_over_whole(frames, size):
    client = WireClient()
    received = []
    client.receivers[7] = lambda *message: received.append(message)
    client._ps.reset()
    stream = b"".join(frame(*each) for each in frames)
    for start in range(0, len(stream), size):
        await client._ps.parse(stream[start : start + size])
    assert received == frames


@pytest.fixture
def settings(nats_server: NatsHandle) -> Nats:
    return Nats(
        url=nats_server.url,
        user=accounts.ADMIN,
        password=nats_server.password(accounts.ADMIN),
        inbox=accounts.inbox(accounts.ADMIN),
    )


@pytest.mark.integration
async def test_hostile_subjects_reach_a_raw_subscription_and_the_client_lives_on(
    nats_server, settings
):
    subjects = [b"mts.v1.\xff", b"mts.v1.a\x0bb", b"mts.v1.a\x0cb", b"mts.v1." + b"a" * 4000]
    received = []
    async with wire.connection(settings, "test") as client:
        await client.subscribe_raw("mts.v1.>", lambda *message: received.append(message))
        await client.flush()
        async with RawPublisher(nats_server) as publisher:
            for subject in subjects:
                publisher.publish(subject, b"junk", b"data")
            await publisher.flush()
        await eventually(lambda: len(received) == len(subjects))
        answer = await client.request("$JS.API.INFO", timeout=30)
        assert b"memory" in answer.data
    assert received == [(subject, b"", b"junk", b"data") for subject in subjects]


@pytest.mark.integration
async def test_what_cannot_be_decoded_for_an_ordinary_subscription_is_dropped_and_noted(
    nats_server, settings
):
    received = []

    async def hear(message):
        received.append(message.data)

    async with wire.connection(settings, "test") as client:
        await client.subscribe("mts.v1.>", cb=hear)
        await client.flush()
        async with RawPublisher(nats_server) as publisher:
            publisher.publish(b"mts.v1.\xff", b"", b"bad")
            publisher.publish(b"mts.v1.good", b"", b"good")
            await publisher.flush()
        await eventually(lambda: b"good" in received)
        assert received == [b"good"]
        assert "dropped a message" in client.problems[0]


@pytest.mark.integration
async def test_a_raw_subscription_that_ended_hands_over_nothing_more(nats_server, settings):
    received = []
    async with wire.connection(settings, "test") as client:
        subscription = await client.subscribe_raw("mts.v1.>", lambda *m: received.append(m))
        await client.unsubscribe_raw(subscription)
        await client.publish("mts.v1.x", b"{}")
        await client.flush()
    assert not received


@pytest.mark.integration
async def test_a_server_that_cannot_be_used_is_tried_again_later(nats_server, settings):
    with pytest.raises(Retryable, match="cannot connect to NATS"):
        await wire.connect(Nats(url=nats_server.url, user="audit", password="guess"), "test")
    nats_server.stop()
    with pytest.raises(Retryable, match="cannot connect to NATS"):
        await wire.connect(settings, "test")
