"""Every change to a log is found under its name, beginning with the first sequence it concerns."""

import pytest
from attacks import ATTACKS, ON_THE_TAIL, Attack
from attacks_on_trust import ON_KEYS, ON_THE_READ_MODEL
from logs import Log, make_log
from support import Database
from tampering import missed, prepared

pytestmark = pytest.mark.integration
SEEDS = 300


@pytest.fixture
async def log(database: Database) -> Log:
    return await prepared(await make_log(database, sizes=(100, 300, 523), unsigned=17))


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
async def test_every_change_is_found_under_its_name(log: Log, attack: Attack) -> None:
    assert await missed(log, attack, range(SEEDS)) == []


@pytest.mark.parametrize("attack", ON_THE_TAIL, ids=lambda attack: attack.__name__)
async def test_what_the_chain_alone_can_show_in_the_unsigned_tail_is_found(
    log: Log, attack: Attack
) -> None:
    assert await missed(log, attack, range(SEEDS)) == []


@pytest.mark.parametrize("attack", ON_KEYS, ids=lambda attack: attack.__name__)
async def test_what_a_key_should_not_have_signed_is_found(log: Log, attack: Attack) -> None:
    assert await missed(log, attack, range(SEEDS)) == []


@pytest.mark.parametrize("attack", ON_THE_READ_MODEL, ids=lambda attack: attack.__name__)
async def test_a_drifted_read_model_is_found(database: Database, attack: Attack) -> None:
    made = await make_log(database, sizes=(60, 130), unsigned=7, projected=True)
    assert await missed(await prepared(made), attack, range(SEEDS), projection=True) == []


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
async def test_a_log_with_gaps_and_no_unsigned_entries_is_no_different(
    database: Database, attack: Attack
) -> None:
    log = await make_log(database, sizes=(90, 256, 300), unsigned=0, lost=3)
    assert log.gaps == (1, 90, 256)
    assert await missed(await prepared(log), attack, range(60)) == []
