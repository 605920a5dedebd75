"""Does a process say over HTTP what it can and cannot do?"""

import asyncio
import json
import urllib.error
import urllib.request
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry, Counter

from operations.adapters.ports import free_port
from operations.errors import Retryable
from workers.health import LONGEST_REQUEST_BYTES, Conditions, serving

pytestmark = pytest.mark.integration


@asynccontextmanager
async def served():
    conditions, registry, port = Conditions(), CollectorRegistry(), free_port()
    Counter("orders", "Orders seen", registry=registry).inc(3)
    async with serving("127.0.0.1", port, conditions, registry):
        yield conditions, port


async def get(port: int, path: str) -> tuple[int, bytes]:
    def ask() -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    return await asyncio.to_thread(ask)


async def test_a_process_without_conditions_is_alive_and_not_ready():
    async with served() as (_, port):
        assert (await get(port, "/livez"))[0] == 200
        assert (await get(port, "/readyz"))[0] == 503


async def test_ready_means_every_condition_holds():
    async with served() as (conditions, port):
        conditions.set("database", ok=True, detail="connected")
        conditions.set("stream", ok=False, detail="lost")
        status, body = await get(port, "/healthz")
        page = json.loads(body)
        assert status == 503
        assert page["ready"] is False
        assert page["conditions"]["stream"]["detail"] == "lost"
        conditions.set("stream", ok=True, detail="connected")
        assert (await get(port, "/readyz"))[0] == 200


async def test_since_is_when_a_condition_last_changed_and_not_when_it_was_last_set():
    conditions = Conditions()
    assert conditions.set("stream", ok=True, detail="1 entry")
    first = conditions.get("stream")
    assert not conditions.set("stream", ok=True, detail="2 entries")
    second = conditions.get("stream")
    assert (first.since_ns, second.detail) == (second.since_ns, "2 entries")
    assert conditions.set("stream", ok=False, detail="lost")
    assert conditions.get("stream").since_ns >= first.since_ns


async def test_metrics_are_in_the_format_that_prometheus_reads():
    async with served() as (_, port):
        status, body = await get(port, "/metrics")
        assert status == 200
        assert b"orders_total 3.0" in body


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /livez HTTP/1.1\r\n\r\n",
        b"\r\n\r\n",
        b"\xff\xfe\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /" + b"a" * (2 * LONGEST_REQUEST_BYTES),
        b"GET /livez",
    ],
)
async def test_a_hostile_request_does_not_stop_the_answers(request_bytes):
    async with served() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_bytes)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        assert b"200" not in answer.split(b"\r\n")[0]
        assert (await get(port, "/livez"))[0] == 200


async def test_a_port_that_another_process_has_is_named():
    async with served() as (_, port):
        with pytest.raises(Retryable, match=str(port)):
            async with serving("127.0.0.1", port, Conditions(), CollectorRegistry()):
                pass
