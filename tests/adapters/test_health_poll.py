"""Is every answer of a service, and none, told apart, in time and without following anybody?"""

import pytest
from http_stub import Stub

from operations.adapters.health_poll import ask
from operations.adapters.ports import free_port

pytestmark = pytest.mark.integration
LONG_MS = 60_000  # no machine is that busy


async def test_a_200_is_well_and_has_a_latency():
    async with Stub() as stub:
        answer = await ask(f"{stub.url}?deep=1", LONG_MS)
        assert (answer.healthy, answer.status, answer.reason) == (True, 200, None)
        assert 0 < answer.latency_ms < LONG_MS
        first = stub.requests[0]
        assert first.startswith(b"GET /healthz?deep=1 HTTP/1.1\r\nHost: 127.0.0.1:")


async def test_no_redirect_is_followed():
    async with Stub() as other, Stub() as stub:
        stub.answer = b"HTTP/1.1 302 Found\r\nLocation: %s\r\n\r\n" % other.url.encode()
        answer = await ask(stub.url, LONG_MS)
        assert (answer.healthy, answer.status) == (False, 302)
        assert "redirects are not followed" in answer.reason
        assert other.requests == []


@pytest.mark.parametrize(
    ("said", "status", "reason"),
    [
        (b"HTTP/1.1 503 Busy\r\n\r\n", 503, "answers 503"),
        (b"HTTP/1.0 204 None\r\n\r\n", 204, "answers 204"),
        (b"SSH-2.0-OpenSSH\r\n", None, "not an HTTP answer"),
        (b"HTTP/1.1 ok\r\n", None, "not an HTTP answer"),
        (b"", None, "not an HTTP answer"),
        (b"x" * 100_000, None, "limit"),
        (None, None, "no answer in 200 ms"),
    ],
)
async def test_every_other_answer_is_red_with_its_reason(said, status, reason):
    async with Stub() as stub:
        stub.answer = said
        answer = await ask(stub.url, 200 if said is None else LONG_MS)
        assert not answer.healthy
        assert answer.status == status
        assert reason in answer.reason


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_nobody_there_is_red(scheme):
    answer = await ask(f"{scheme}://127.0.0.1:{free_port()}/healthz", LONG_MS)
    assert (answer.healthy, answer.status) == (False, None)
    assert answer.reason


async def test_what_speaks_no_tls_is_red_over_https():
    async with Stub() as stub:
        answer = await ask(stub.url.replace("http:", "https:"), LONG_MS)
        assert not answer.healthy
