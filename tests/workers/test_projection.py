"""Does the projection worker follow the log, also when it is emptied meanwhile?"""

import pytest
from pipeline import Site, fill, orders
from support import eventually

pytestmark = pytest.mark.integration


async def test_it_follows_the_log_and_fills_again_what_was_emptied(nats_server, database, tmp_path):
    site = Site(nats_server, database, tmp_path)

    async def shown(count: int) -> bool:
        return await site.fetchval("SELECT count(*) FROM audit.event") == count

    async with site.working("audit", "projection") as (_, worker):
        await fill(nats_server, orders(300))
        await eventually(lambda: shown(301))
        connection = await database.connect("mts_projector")
        await connection.execute("TRUNCATE audit.event, audit.projection")
        await connection.close()
        await eventually(lambda: shown(301))
        await eventually(lambda: worker.registry.get_sample_value("projection_size") == 301)
        assert worker.registry.get_sample_value("projection_lag_entries") == 0
