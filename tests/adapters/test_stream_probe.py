"""Does the probe notice every way in which a stream takes nothing, and fill nothing itself?"""

import json

import pytest
from pipeline import fill, orders, stream_state
from support import NatsHandle, eventually

from operations.adapters import accounts, stream_probe, wire
from operations.clock import now_ns
from operations.config import Nats

pytestmark = pytest.mark.integration


def settings(server: NatsHandle) -> Nats:
    user = accounts.HALT
    return Nats(
        url=server.url, user=user, password=server.password(user), inbox=accounts.inbox(user)
    )


async def state(client: wire.WireClient) -> str:
    return (await stream_probe.probe(client, "MTS", "halt-1")).stream


async def change(server: NatsHandle, verb: str, **changes) -> None:
    client = await server.connect()
    found = json.loads((await client.request("$JS.API.STREAM.INFO.MTS", b"")).data)["config"]
    body = json.dumps(found | changes).encode() if changes else b""
    answer = await client.request(f"$JS.API.STREAM.{verb}.MTS", body)
    await client.close()
    assert "error" not in json.loads(answer.data)


async def test_a_stream_that_works_is_ok_and_stays_empty(nats_server):
    async with wire.connection(settings(nats_server), "probe") as client:
        for _ in range(5):
            assert await state(client) == "ok"
    assert (await stream_state(nats_server))["last_seq"] == 0
    admin = await nats_server.connect()
    found = json.loads((await admin.request("$JS.API.STREAM.INFO.PROBE", b"")).data)["state"]
    await admin.close()
    assert (found["last_seq"], found["messages"]) == (5, 1)


async def test_a_limit_that_is_reached_is_full(nats_server):
    await fill(nats_server, orders(3))
    async with wire.connection(settings(nats_server), "probe") as client:
        await change(nats_server, "UPDATE", max_msgs=3)
        assert await state(client) == "full"
        await change(nats_server, "UPDATE", max_msgs=4)
        assert await state(client) == "ok"
        await change(nats_server, "UPDATE", max_bytes=10)
        assert await state(client) == "full"


async def test_a_sealed_stream_is_frozen(nats_server):
    async with wire.connection(settings(nats_server), "probe") as client:
        await change(nats_server, "UPDATE", sealed=True)
        assert await state(client) == "frozen"


async def test_a_stream_that_is_gone_is_frozen(nats_server):
    async with wire.connection(settings(nats_server), "probe") as client:
        await change(nats_server, "DELETE")
        assert await state(client) == "frozen"


async def test_a_server_that_says_nothing_is_unreachable(nats_server):
    async with wire.connection(settings(nats_server), "probe") as client:
        nats_server.pause()
        try:
            assert await state(client) == "unreachable"
        finally:
            nats_server.resume()

        async def works() -> bool:
            return await state(client) == "ok"

        await eventually(works, "it works again")


async def test_it_brings_the_time_of_the_server(nats_server):
    async with wire.connection(settings(nats_server), "probe") as client:
        before_ns = now_ns()
        probed = await stream_probe.probe(client, "MTS", "halt-1")
        assert before_ns <= probed.server_ns <= now_ns()
