"""Does a task end that a library lets go on after the first cancel?"""

import asyncio
import re
from pathlib import Path

import pytest

from operations.adapters.tasks import end_tasks
from operations.config import Settings
from operations.errors import Retryable
from workers.runtime import Runtime, all_of, first_of

pytestmark = [pytest.mark.unit, pytest.mark.timeout(100)]
ROOT = Path(__file__).parents[2]


class Deaf:
    """Works on after the first cancel, as a loop around a wait that passed over it does."""

    def __init__(self) -> None:
        self.cancels = 0

    async def work(self) -> None:
        while self.cancels < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancels += 1
        raise asyncio.CancelledError


async def test_a_task_that_passes_over_a_cancel_is_cancelled_again():
    deaf = Deaf()
    task = asyncio.create_task(deaf.work())
    await asyncio.sleep(0)
    await end_tasks(task)
    assert (task.cancelled(), deaf.cancels) == (True, 2)


@pytest.mark.parametrize("together", [first_of, all_of])
async def test_a_worker_ends_though_one_of_its_works_passes_over_a_cancel(together):
    deaf = Deaf()

    async def fails() -> None:
        await asyncio.sleep(0)
        raise Retryable("the database is gone")

    with pytest.raises(Retryable, match="is gone"):
        await together(deaf.work(), fails())
    assert deaf.cancels == 2


async def test_works_that_end_do_not_end_the_others():
    ended = []

    async def ends(after: int) -> None:
        for _ in range(after):
            await asyncio.sleep(0)
        ended.append(after)

    await all_of(ends(0), ends(3))
    assert ended == [0, 3]


async def test_a_pause_that_is_cancelled_in_the_moment_in_which_it_ends_is_cancelled(tmp_path):
    runtime = Runtime("audit", Settings(home=str(tmp_path)))
    pausing = asyncio.create_task(runtime.pause(60))
    for _ in range(3):
        await asyncio.sleep(0)
    runtime.stopping.set()
    pausing.cancel()
    await asyncio.wait([pausing])
    assert pausing.cancelled()


def test_nobody_waits_in_the_way_that_passes_over_a_cancel():
    code = [file for top in ("operations", "workers") for file in (ROOT / top).rglob("*.py")]
    found = [file.name for file in code if re.search(r"asyncio\.wait_for\(", file.read_text())]
    assert found == []
