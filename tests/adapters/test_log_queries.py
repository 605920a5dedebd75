"""Does a search find what is in the log, in its order, and only that?"""

import json

import pytest
from logs import CREATED_NS, NOW_NS, ORIGIN, project_all
from support import Database

from operations.adapters import ledger, log_queries
from operations.adapters.ledger import SealerLedger
from operations.audit import chain, entry, note
from operations.config import Postgres

pytestmark = pytest.mark.integration
KEY = str(note.generate_key(ORIGIN).verifier)

# Action, and what its payload says.
EVENTS = (
    ("trading.order.submitted", {"order_id": "o1", "strategy_id": "s1", "fund_id": "alpha"}),
    ("trading.order.filled", {"subject_id": "o1", "correlation_id": "c1"}),
    ("registry.fund.registered", {"subject_id": "alpha"}),
    ("news.story.published", {"subject_id": "o1"}),
    ("trading.order.submitted", {"order_id": "o2", "fund_id": "alpha", "account_id": "a1"}),
    ("trading.order.canceled", {"order_id": "o1", "account_id": "a1", "fund_id": "beta"}),
)


@pytest.fixture
async def db(database: Database):
    settings = Postgres(dsn=database.dsn("mts_sealer"))
    async with ledger.connection(settings, "test") as connected:
        log = SealerLedger(connected, ORIGIN)
        await log.take_over()
        genesis = chain.first_entry(ORIGIN, KEY, "MTS", CREATED_NS)
        await log.create(genesis)
        messages = [
            (
                f"mts.v1.{action}".encode(),
                b"$JS.ACK.MTS.audit.1.%d.%d.%d.0" % (number, number, NOW_NS),
                b"",
                json.dumps(payload).encode(),
            )
            for number, (action, payload) in enumerate(EVENTS, 1)
        ]
        await log.append(genesis.head, chain.seal(genesis.head, messages))
    await project_all(database)
    connected = await database.connect("mts_reader")
    yield connected
    await connected.close()


async def found(db, limit=None, **wanted):
    return [each.sequence async for each in log_queries.matching(db, ORIGIN, wanted, limit)]


async def test_an_id_is_found_in_its_own_field_and_as_what_an_event_is_about(db):
    assert await found(db, order="o1") == [1, 2, 6]
    assert await found(db, fund="alpha") == [1, 3, 5]
    assert await found(db, strategy="s1") == [1]
    assert await found(db, account="a1") == [5, 6]
    assert await found(db, correlation="c1") == [2]


async def test_several_ids_must_all_match(db):
    assert await found(db, fund="alpha", account="a1") == [5]
    assert await found(db, order="o1", fund="beta") == [6]
    assert await found(db, order="o2", fund="beta") == []


async def test_a_limit_keeps_the_oldest(db):
    assert await found(db, limit=2, order="o1") == [1, 2]


@pytest.mark.parametrize("value", ["", "%", "' OR true --", "o1' --", "\ud800", "\0", "o" * 5000])
async def test_an_id_is_never_more_than_an_id(db, value):
    assert await found(db, order=value) == []


async def test_what_is_shown_is_read_from_the_log(db):
    first = await log_queries.one(db, ORIGIN, 0)
    assert first.previous_hash == entry.genesis_hash(ORIGIN)
    assert first.is_linked
    async for each in log_queries.between(db, ORIGIN, 1, 7):
        assert each.is_linked
        assert each.entry == entry.decode(each.raw)
    assert await log_queries.one(db, ORIGIN, 7) is None
    assert await log_queries.end_of(db) == 7


async def test_bytes_that_are_no_entry_are_shown_as_such(db, database):
    admin = await database.connect()
    for table in ("entry", "entry_000000"):
        await admin.execute(f"ALTER TABLE audit.{table} DISABLE TRIGGER ALL")
    await admin.execute("UPDATE audit.entry SET entry = 'nonsense' WHERE sequence = 3")
    await admin.close()
    each = await log_queries.one(db, ORIGIN, 3)
    assert (each.entry, each.is_linked) == (None, False)
    assert "an entry starts with" in each.problem


async def test_the_last_change_of_stream_is_found_in_the_log_itself(db, database):
    assert await log_queries.last_adoption(db) == 0
    settings = Postgres(dsn=database.dsn("mts_sealer"))
    async with ledger.connection(settings, "test") as connected:
        log = SealerLedger(connected, ORIGIN)
        head = await log.take_over()
        order = chain.Adoption(b"mts.v1.x", b"alice", NOW_NS, b"", b"{}")
        await log.append(head, chain.adopted(head, order, 1, NOW_NS))
    assert await log_queries.last_adoption(db) == 7
    assert await log_queries.stream_position(db, 7) == 0
