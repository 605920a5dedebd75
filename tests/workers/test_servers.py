"""Do the embedded servers come up, keep what they acknowledged, and leave nothing behind?"""

import asyncpg
import pytest
from support import Database, NatsHandle, Servers

pytestmark = pytest.mark.integration


async def test_an_acknowledged_event_is_there_after_kill_9(nats_server: NatsHandle):
    client = await nats_server.connect("publisher")
    answer = await client.jetstream().publish("mts.v1.trading.order.submitted", b"{}")
    await client.close()
    nats_server.kill()
    nats_server.start()
    client = await nats_server.connect()
    info = await client.jetstream().stream_info("MTS")
    await client.close()
    assert answer.seq == 1
    assert info.state.last_seq == 1


async def test_a_fresh_database_has_the_schema_and_the_roles(database: Database):
    connection = await database.connect("mts_sealer")
    try:
        assert await connection.fetchval("SELECT count(*) FROM audit.head") == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DELETE FROM audit.entry")
    finally:
        await connection.close()


async def test_two_databases_of_one_session_do_not_see_each_other(servers: Servers, database):
    other = servers.new_database()
    assert other.name != database.name
    servers.drop_database(other)
