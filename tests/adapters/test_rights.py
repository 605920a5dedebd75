"""Does a real server keep every user to its rights?"""

import json

import nats.errors
import pytest
from nats.aio.client import Client
from support import NatsHandle, eventually

from operations.adapters import accounts

pytestmark = pytest.mark.integration


class Listener:
    """Collects what a client is told about its own mistakes."""

    def __init__(self):
        self.errors: list[str] = []

    async def hear(self, error: Exception):
        self.errors.append(str(error))

    def refused(self, kind: str, subject: str) -> bool:
        return any(
            f"permissions violation for {kind}" in one and subject.lower() in one
            for one in map(str.lower, self.errors)
        )


REFUSED_PUBLISH = [
    ("publisher", "mts.v1.operations.halt.requested"),
    ("publisher", "ops.v1.audit.checkpoint"),
    ("publisher", "$JS.API.STREAM.INFO.MTS"),
    ("oms-1", "mts.v1.operations.command.halt"),
    ("oms-1", "mts.v1.portfolio.nav.marked"),
    ("oms-1", "mts.v1.operations.halt.requested"),
    ("oms-1", "mts.v1.operations.halt.acknowledged.oms-2"),
    ("oms-1", "ops.v1.oms.lease.oms-2"),
    ("oms-2", "mts.v1.operations.finding.oms_oms-1.raised"),
    ("oms-3", "$JS.API.CONSUMER.MSG.NEXT.MTS.oms-1"),
    ("oms-3", "ops.v1.halt.heartbeat"),
    ("halt", "mts.v1.operations.halt.acknowledged.oms-1"),
    ("halt", "mts.v1.operations.halt.documented"),
    ("halt", "mts.v1.operations.command.resume"),
    ("halt", "mts.v1.operations.finding.drawdown.raised"),
    ("halt", "ops.v1.oms.lease.oms-1"),
    ("halt", "$JS.API.CONSUMER.RESET.MTS.oms-1"),
    ("limits", "mts.v1.operations.halt.requested"),
    ("limits", "mts.v1.operations.finding.halt.raised"),
    ("limits", "mts.v1.operations.action.requested"),
    ("watchdogs", "mts.v1.operations.halt.requested"),
    ("watchdogs", "mts.v1.operations.finding.drawdown.raised"),
    ("watchdogs", "mts.v1.operations.action.released"),
    ("watchdogs", "mts.v1.operations.config.changed"),
    ("watchdogs", "$KV.settings.firm.vpin.threshold"),
    ("operator", "$KV.settings.firm.vpin.threshold"),
    ("settings", "mts.v1.operations.command.configure"),
    ("settings", "$JS.API.STREAM.PURGE.KV_settings"),
    ("settings", "$JS.API.STREAM.DELETE.KV_settings"),
    ("notifications", "mts.v1.operations.command.acknowledge"),
    ("notifications", "mts.v1.operations.finding.halt.cleared"),
    ("oms-1", "mts.v1.operations.action.answered.oms-2"),
    ("actions", "mts.v1.operations.action.requested"),
    ("actions", "mts.v1.operations.command.release_action"),
    ("watchdogs", "mts.v1.operations.service.polled"),
    ("measure", "mts.v1.operations.finding.db_watchdog.raised"),
    ("measure", "mts.v1.operations.clock.ticked"),
    ("canary", "mts.v1.operations.clock.ticked"),
    ("canary", "mts.v1.operations.action.requested"),
    ("canary", "mts.v1.operations.finding.vpin.raised"),
    ("canary", "mts.v1.trading.order.filled"),
    ("measure", "mts.v1.registry.service.registered"),
    ("evidence", "mts.v1.operations.halt.requested"),
    ("evidence", "$JS.API.CONSUMER.MSG.NEXT.MTS.audit"),
    ("operator", "mts.v1.trading.order.submitted"),
    ("operator", "$JS.API.STREAM.PURGE.MTS"),
    ("auditor", "mts.v1.trading.order.submitted"),
    ("auditor", "$JS.API.CONSUMER.MSG.NEXT.MTS.audit"),
    ("audit", "$JS.API.CONSUMER.MSG.NEXT.MTS.checkpoint"),
    ("audit", "ops.v1.audit.checkpoint"),
    ("checkpoint", "$JS.ACK.MTS.audit.1.1.1.1.1"),
    ("projection", "$JS.API.STREAM.INFO.MTS"),
]
REFUSED_SUBSCRIBE = [
    ("publisher", "mts.v1.>"),
    ("publisher", "_INBOX_operator.>"),
    ("oms-1", "mts.v1.trading.>"),
    ("oms-2", "_INBOX_oms-1.>"),
    ("halt", "mts.v1.>"),
    ("limits", "mts.v1.>"),
    ("evidence", "mts.v1.>"),
    ("operator", "mts.v1.trading.>"),
    ("auditor", "mts.v1.>"),
    ("audit", "mts.v1.>"),
    ("checkpoint", "_INBOX_audit.>"),
]


async def test_the_server_refuses_what_the_table_does_not_allow(nats_server: NatsHandle):
    for kind, cases in (("publish", REFUSED_PUBLISH), ("subscription", REFUSED_SUBSCRIBE)):
        for user, subject in cases:
            listener = Listener()
            client = await nats_server.connect(user, error_cb=listener.hear)
            if kind == "publish":
                await client.publish(subject, b"{}")
            else:
                await client.subscribe(subject)
            await client.flush()
            await eventually(
                lambda kind=kind, subject=subject, listener=listener: listener.refused(
                    kind, subject
                ),
                message=f"{user} is refused to {kind} {subject}",
            )
            await client.close()


async def test_the_stream_holds_nothing_that_was_refused(nats_server: NatsHandle):
    for user, subject in REFUSED_PUBLISH:
        client = await nats_server.connect(user, error_cb=Listener().hear)
        await client.publish(subject, b"{}")
        await client.flush()
        await client.close()
    admin = await nats_server.connect()
    info = await admin.request("$JS.API.STREAM.INFO.MTS", b"")
    await admin.close()
    assert json.loads(info.data)["state"]["messages"] == 0


async def test_every_worker_reads_the_stream_through_its_own_consumer(nats_server: NatsHandle):
    operator = await nats_server.connect("operator")  # what every one of them reads
    await operator.jetstream().publish("mts.v1.operations.roster.published", b"{}")
    await operator.close()
    for user, consumer in (
        ("audit", "audit"),
        ("checkpoint", "checkpoint"),
        ("auditor", accounts.REBUILD),
        *((accounts.HALT, name) for name in accounts.HALT_CONSUMERS),
        *((name, name) for name in accounts.OMS),
        (accounts.LIMITS, accounts.LIMITS),
        (accounts.SETTINGS, accounts.SETTINGS),
        *((accounts.WATCHDOGS, name) for name in accounts.WATCHDOG_CONSUMERS),
        (accounts.MEASURE, accounts.MEASURE),
        (accounts.NOTIFICATIONS, accounts.NOTIFICATIONS),
        (accounts.ACTIONS, accounts.ACTIONS),
    ):
        client = await nats_server.connect(user)
        answer = await client.request(
            f"$JS.API.CONSUMER.MSG.NEXT.MTS.{consumer}", b"1", timeout=5, old_style=True
        )
        assert answer.data == b"{}"
        reset = await client.request(
            f"$JS.API.CONSUMER.RESET.MTS.{consumer}", json.dumps({"seq": 1}).encode()
        )
        assert "error" not in json.loads(reset.data)
        await client.close()


async def test_a_wrong_password_does_not_get_in(nats_server: NatsHandle):
    client = Client()
    with pytest.raises(nats.errors.Error):
        await client.connect(
            nats_server.url,
            user="audit",
            password="guess",
            allow_reconnect=False,
            error_cb=Listener().hear,
        )
    await client.close()
