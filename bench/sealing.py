"""How fast does the real audit worker seal a stream, and what bounds it?

Five things run in turn on the same servers and the same prefilled stream, several rounds: nats-py's
`fetch`, nats-py's callback loop, our raw reader, the bare building of entries, a bare COPY; and the
audit worker as the fleet runs it. The ratios are what counts: machines differ, and are noisy.
"""

import asyncio
from contextlib import suppress

import asyncpg
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import NotFoundError
from rig import Row, Worker, admin, database, fresh_log, median, now, payload, prefill

from operations.adapters import credentials, ledger, wire
from operations.adapters.stream import Reader
from operations.audit import chain
from operations.audit.chain import Delivery, Head
from operations.config import Nats, Settings

EVENTS = 200_000
ROUNDS = 3
PULL = 500
COPY_ROWS = 4000


async def fetch_drain(settings: Settings) -> float:
    """Messages per second of nats-py's pull subscription, doing nothing with them."""
    async with admin(settings) as client:
        stream = client.jetstream()
        await _consumer(client, "bench_fetch")
        subscription = await stream.pull_subscribe_bind("bench_fetch", settings.nats.stream)
        seen, began = 0, now()
        while seen < EVENTS:
            messages = await subscription.fetch(PULL, timeout=5)
            seen += len(messages)
            await messages[-1].ack()
        return seen / (now() - began)


async def callback_drain(settings: Settings) -> float:
    """Messages per second through nats-py's own callback, with pull requests of our own."""
    async with admin(settings) as client:
        await _consumer(client, "bench_callback")
        inbox, seen, done = client.new_inbox(), 0, asyncio.Event()

        async def receive(message: object) -> None:
            nonlocal seen
            if message.reply.startswith("$JS.ACK."):  # type: ignore[attr-defined]
                seen += 1
                if seen % 2000 == 0:
                    await message.ack()  # type: ignore[attr-defined]
                    await ask()
                if seen >= EVENTS:
                    done.set()

        async def ask() -> None:
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{settings.nats.stream}.bench_callback"
            await client.publish(subject, b'{"batch":2000,"expires":30000000000}', reply=inbox)

        await client.subscribe(inbox, cb=receive, pending_msgs_limit=-1, pending_bytes_limit=-1)
        began = now()
        for _ in range(3):
            await ask()
        await done.wait()
        return seen / (now() - began)


async def raw_drain(settings: Settings) -> float:
    """Messages per second of our reader, doing nothing with them."""
    user = Nats(
        port=settings.nats.port,
        user="audit",
        password=credentials.ensure_secret(credentials.nats_secret_file(settings, "audit")),
    )
    async with wire.connection(user, "audit") as client:
        reader = Reader(client, settings.nats.stream, "audit")
        began = now()
        await reader.rewind(1)
        seen = 0
        while seen < EVENTS:
            messages = await reader.read()
            seen += len(messages)
            if messages:
                await reader.ack(messages[-1])
        return seen / (now() - began)


async def _consumer(client: object, name: str) -> None:
    stream = client.jetstream()  # type: ignore[attr-defined]
    with suppress(NotFoundError):
        await stream.delete_consumer("MTS", name)
    await stream.add_consumer(
        "MTS",
        ConsumerConfig(durable_name=name, ack_policy=AckPolicy.ALL, max_ack_pending=20_000),
    )


def deliveries(count: int) -> list[Delivery]:
    """Messages as the reader hands them over."""
    return [
        (
            b"mts.v1.trading.order.submitted",
            b"$JS.ACK.MTS.audit.1.%d.%d.1795000000123456789.100" % (number, number),
            b"NATS/1.0\r\nNats-Msg-Id: mts.v1.trading.order.submitted:%d\r\n\r\n" % number,
            payload(number),
        )
        for number in range(1, count + 1)
    ]


def bare_build(messages: list[Delivery]) -> float:
    """Entries per second of decoding, hashing and row building alone."""
    head = chain.first_entry("bench", "key", "MTS", 1).head
    began = now()
    for first in range(0, len(messages), COPY_ROWS):
        sealed = chain.seal(head, messages[first : first + COPY_ROWS])
        ledger.copy_rows(head.size, sealed.entries, sealed.hashes)
        head = sealed.head
    return len(messages) / (now() - began)


async def bare_copy(settings: Settings, messages: list[Delivery]) -> float:
    """Rows per second of COPY alone, one transaction for each 4,000."""
    head = Head(0, bytes(32), 0, 1)
    batches = []
    for first in range(0, len(messages), COPY_ROWS):
        sealed = chain.seal(head, messages[first : first + COPY_ROWS])
        batches.append((head.size, sealed))
        head = sealed.head
    connected = await asyncpg.connect(credentials.role_dsn(settings, "mts_sealer"))
    log = ledger.SealerLedger(connected, "bench")
    began = now()
    for first, sealed in batches:
        async with connected.transaction():
            await log._copy(first, sealed)
    seconds = now() - began
    await connected.close()
    return len(messages) / seconds


async def worker_drain(settings: Settings) -> float:
    """Events per second from the first to the last commit of the audit worker process."""
    async with database(settings) as looking:
        worker = Worker(settings, "audit")
        try:
            first_size, first_at = await _size_over(looking, EVENTS // 20)
            last_size, last_at = await _size_over(looking, EVENTS)
        finally:
            worker.stop()
    return (last_size - first_size) / (last_at - first_at)


async def _size_over(looking: asyncpg.Connection, size: int) -> tuple[int, float]:
    while True:
        found = await looking.fetchval("SELECT size FROM audit.head")
        if found and found > size:
            return found, now()
        await asyncio.sleep(0.02)


async def measure(settings: Settings) -> list[Row]:
    """Return the table rows."""
    await prefill(settings, EVENTS)
    messages = deliveries(EVENTS)
    runs: dict[str, list[float]] = {}
    for number in range(ROUNDS):
        bare = await fresh_log(settings, 100 + number)
        real = await fresh_log(settings, 200 + number)
        runs.setdefault("fetch", []).append(await fetch_drain(settings))
        runs.setdefault("callback", []).append(await callback_drain(settings))
        runs.setdefault("raw", []).append(await raw_drain(settings))
        runs.setdefault("build", []).append(bare_build(messages))
        runs.setdefault("copy", []).append(await bare_copy(bare, messages))
        runs.setdefault("worker", []).append(await worker_drain(real))
    value = {name: median(found) for name, found in runs.items()}
    over_fetch = median([w / f for w, f in zip(runs["worker"], runs["fetch"], strict=True)])
    of_bound = median(
        [
            w * (1 / c + 1 / b)
            for w, c, b in zip(runs["worker"], runs["callback"], runs["build"], strict=True)
        ]
    )
    return [
        Row("drain: nats-py fetch(500)", value["fetch"], "events/s"),
        Row("drain: nats-py callback loop", value["callback"], "events/s"),
        Row("drain: raw reader", value["raw"], "events/s"),
        Row("bare decode, hash, row building", value["build"], "events/s"),
        Row("bare COPY, 4,000 rows each", value["copy"], "events/s"),
        Row("audit worker, sealed and committed", value["worker"], "events/s", bound_by=BOUND),
        Row("audit worker over fetch drain", over_fetch, "ratio", ">= 2.0", over_fetch >= 2),
        Row(
            "audit worker over 1/(1/callback + 1/build)",
            of_bound,
            "ratio",
            ">= 0.70",
            of_bound >= 0.7,
        ),
    ]


BOUND = "one Python process: reading frames, building entries and COPY share its one core"
