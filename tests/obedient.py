"""Order systems of tests that obey on the bus and trade nothing: what they say is what one wants.

They acknowledge as order systems do, signed with their own keys, and take nothing from anybody's
word: silent, slow and refusing ones are made by leaving answers out.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal

from commands import Command
from halting import Firm, Person, envelope

from operations.adapters import accounts
from operations.adapters.link import Access
from operations.adapters.publisher import Publisher
from operations.events.halts import Acknowledgement, HaltAcknowledged
from operations.events.registry import (
    Account,
    AccountRegistered,
    Fund,
    FundRegistered,
    Strategy,
    StrategyRegistered,
)

COMMANDS = "mts.v1.operations.command.>"
DECISIONS = "mts.v1.operations.halt.requested"


class Obedient:
    """Answers every halt, and every cancel and flatten, with the phases that it was given."""

    def __init__(self, person: Person, oms_id: str, **answers: str) -> None:
        self.oms_id = oms_id
        self._person = person
        self._answers = {"halt": "BLOCKING", "cancel_all": "CANCEL_CONFIRMED", "flatten": "FLAT"}
        self._answers |= answers
        self._tasks: set[asyncio.Task] = set()

    async def listen(self, subject: str) -> None:
        await self._person.client.subscribe_raw(subject, self._take)
        await self._person.client.flush()
        await self._person.client.flush()

    def _take(self, subject: bytes, _reply: bytes, _headers: bytes, payload: bytes) -> None:
        data = json.loads(payload)["data"]
        verb = subject.decode().rpartition(".")[2].replace("requested", "halt")
        phase = self._answers.get(verb, "")
        halt_id = data.get("halt_id") or data["command_id"]
        if phase:
            task = asyncio.get_running_loop().create_task(self._say(halt_id, phase))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _say(self, halt_id: str, phase: str) -> None:
        data = Acknowledgement(
            oms_id=self.oms_id,
            halt_id=halt_id,
            phase=phase,
            via="core",
            to_block_us=900,
            to_cancel_confirmed_ms=12.5,
            canceled=3,
            reason="it is closed" if phase == "REFUSED" else None,
        )
        event = HaltAcknowledged(**envelope(halt_id), data=data)
        await self._person.send(event, self.oms_id)


@asynccontextmanager
async def obeying(
    firm: Firm, *oms_ids: str, hears: str = "", **answers: str
) -> AsyncIterator[None]:
    """Run order systems that obey decisions and the commands that are theirs."""
    async with AsyncExitStack() as stack:
        for oms_id in oms_ids:
            person = await stack.enter_async_context(firm.connected(oms_id))
            system = Obedient(person, oms_id, **answers)
            for subject in (
                (hears,)
                if hears
                else (
                    DECISIONS,
                    "mts.v1.operations.command.cancel_all",
                    "mts.v1.operations.command.flatten",
                )
            ):
                await system.listen(subject)
        yield


def mts(firm: Firm, user: str = "operator") -> Command:
    """`mts` of the operator of a firm, or of another user."""
    command = Command(
        firm.base.path(),
        MTS_NATS_URL=firm.nats.url,
        MTS_NATS_USER=user,
        MTS_NATS_PASSWORD=firm.nats.password(user),
        MTS_NATS_INBOX=accounts.inbox(user),
        MTS_HALT_ORDER_SYSTEMS=firm.halt.order_systems,
    )
    command.settings["MTS_HOME"] = firm.base.home
    return command


async def register(firm):
    """Register a live fund alpha and a paper fund beta with a strategy and an account each."""
    access = Access(url=firm.nats.url, user="publisher", password=firm.nats.password("publisher"))
    async with Publisher(access, actor="registry") as publisher:
        for fund_id, trading in (("alpha", "live"), ("beta", "paper")):
            fund = Fund(
                name=fund_id.title(),
                base_currency="USD",
                trading=trading,
                day_end_time="17:00",
                day_end_zone="America/New_York",
                drawdown_halt_pct=Decimal(10),
            )
            account = f"{fund_id}-1"
            strategy = Strategy(name=fund_id, fund_id=fund_id, account_ids=(account,))
            await publisher.confirm(FundRegistered(subject_id=fund_id, data=fund))
            await publisher.confirm(
                AccountRegistered(
                    subject_id=account, data=Account(fund_id=fund_id, trading=trading)
                )
            )
            await publisher.confirm(
                StrategyRegistered(subject_id=f"{fund_id}-momentum", data=strategy)
            )
