"""Makes changes of settings count: checks what people, files and Vault say, and says it signed.

Everybody else takes settings from the stream alone, so that a replay knows the same ones at the
same place. It reads the stream from its beginning; killed at any point the next one finds what has
no answer and goes on.
"""

import asyncio
import socket

from prometheus_client import CollectorRegistry, Gauge

from operations.adapters import accounts, judge, service_bus, settable, stream, wire
from operations.adapters.settings_bucket import Bucket
from operations.adapters.settings_desk import SettingsDesk
from operations.adapters.settings_keeper import SettingsKeeper
from operations.adapters.steps import Step, onward
from operations.adapters.stream import Reader
from operations.adapters.tasks import end_tasks
from operations.adapters.vault import Vault
from operations.adapters.vault_watch import VaultWatch
from operations.clock import now_ns
from operations.errors import Rejected
from operations.settings import layers
from operations.settings.catalogue import Catalogue
from workers.runtime import WORKER, Runtime

NAME = accounts.SETTINGS
FIRST_SEQUENCE = 1
WAIT_SECONDS = 0.2


async def run(runtime: Runtime, at: Step = onward, known: Catalogue | None = None) -> None:
    """Follow the stream until the process is asked to stop; `known` is what can be set."""
    settings = runtime.settings
    async with (
        wire.connection(settings.nats, NAME) as client,
        service_bus.publisher(settings, NAME) as publisher,
    ):
        judging = judge.for_service(settings, settings.path("settings", "roster.json"))
        desk = SettingsDesk(judging, known or settable.catalogue())
        keeper = SettingsKeeper(desk, Bucket(client), publisher, at)
        found = await stream.info(client, settings.nats.stream)
        reader = Reader(client, settings.nats.stream, NAME, filtered=True, modest=True)
        await reader.rewind(max(found.state.first_seq, FIRST_SEQUENCE))
        watch = VaultWatch(Vault(settings.vault)) if settings.vault.url else None
        looking = asyncio.create_task(_look(runtime, watch)) if watch else None
        try:
            await _work(runtime, desk, keeper, reader, watch)
        finally:
            if looking:
                await end_tasks(looking)


async def _work(
    runtime: Runtime,
    desk: SettingsDesk,
    keeper: SettingsKeeper,
    reader: Reader,
    watch: VaultWatch | None,
) -> None:
    ready, problem = False, ""
    metrics = runtime.once(Metrics)
    while not runtime.stopping.is_set():
        for delivery in await reader.read(wait_seconds=WAIT_SECONDS):
            desk.take_delivery(delivery)
        desk.refresh()
        if not ready and (reader.waiting or await reader.has_more()):
            runtime.condition(WORKER, ok=False, detail=f"reading the stream, at {desk.reached}")
            continue
        # What was begun before is finished before anything else can change what holds.
        await keeper.answer()
        if not ready:
            problem = await _follow(runtime, desk, keeper)
            ready = True
        if watch:
            await watch.apply(desk, keeper)
            runtime.condition("vault", ok=watch.well, detail=watch.words())
        await keeper.put_back()
        metrics.note(desk, watch)
        set_here = len(desk.book.history)
        runtime.condition(
            WORKER, ok=not problem, detail=problem or f"{set_here} changes of settings are known"
        )


async def _follow(runtime: Runtime, desk: SettingsDesk, keeper: SettingsKeeper) -> str:
    """Say what the file and the environment say now; returns what of it cannot hold."""
    book, found = desk.book, runtime.settings.watchdogs
    host = socket.gethostname()
    try:
        await keeper.follow(
            "file",
            layers.of_file(book.catalogue, found.file),
            f"settings.toml@{host}",
            "found in settings.toml at a start",
        )
        await keeper.follow(
            "environment",
            layers.of_environment(book.catalogue, found.environment),
            f"environment@{host}",
            "found in the environment at a start",
        )
    except Rejected as error:
        return f"{error}; the settings before it hold"
    return ""


async def _look(runtime: Runtime, watch: VaultWatch) -> None:
    while True:
        await watch.look()
        await runtime.pause(runtime.settings.vault.poll_seconds)


class Metrics:
    """What the settings worker tells Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._changes = Gauge("settings_changes", "Changes in the stream", registry=registry)
        self._refused = Gauge(
            "settings_messages_refused", "Messages without a valid signature", registry=registry
        )
        self._age = Gauge(
            "settings_vault_age_seconds", "Time since Vault answered", registry=registry
        )

    def note(self, desk: SettingsDesk, watch: VaultWatch | None) -> None:
        """Record how things are."""
        self._changes.set(len(desk.book.history))
        self._refused.set(desk.refused)
        if watch and watch.answered_ns:
            self._age.set((now_ns() - watch.answered_ns) / 1e9)
