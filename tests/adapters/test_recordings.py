"""Does a replay put every event into the stream, and go on where it stopped?"""

import asyncio
import gzip
import json
from pathlib import Path

import pytest
from support import eventually

from operations.adapters import accounts, recordings
from operations.adapters.link import Access
from operations.adapters.publisher import Publisher
from operations.adapters.recordings import Replay, Replayer
from operations.errors import Denied, Rejected

pytestmark = pytest.mark.integration

ORDERS = (
    Path(__file__).resolve().parents[2] / "../shared/data/orders/bitstamp_btcusd_20150501.csv.gz"
)


def write(folder, lines, name="events.jsonl"):
    path = folder / name
    path.write_text("".join(line + "\n" for line in lines))
    return path


def line(number, second=0, subject="mts.v1.trading.order.submitted"):
    timestamp = f"2026-11-20T12:00:{second:02}Z"
    payload = {"event_id": f"id-{number}", "timestamp": timestamp}
    return json.dumps({"subject": subject, "payload": payload})


def publisher(server, **options):
    user = "publisher"
    access = Access(url=server.url, user=user, password=server.password(user))
    return Publisher(access, **options)


async def replay(server, path, folder, state=None, **options):
    recording = recordings.open_recording(path)
    state = state or Replay(str(path))
    async with publisher(server) as opened:
        return await Replayer(recording, opened, state, folder, **options).run()


async def stored(server):
    """The ids of the events in the stream, in order."""
    client = await server.connect()
    try:
        jetstream = client.jetstream()
        last = (await jetstream.stream_info(accounts.STREAM)).state.last_seq
        found = [await jetstream.get_msg(accounts.STREAM, n) for n in range(1, last + 1)]
        return [json.loads(each.data)["event_id"] for each in found]
    finally:
        await client.close()


async def test_all_order_events_of_a_real_day_arrive(nats_server, tmp_path):
    if not ORDERS.exists():
        pytest.skip(f"{ORDERS} is absent")
    state = await replay(nats_server, ORDERS, tmp_path / "state")
    assert state.events == 50_414
    assert state.line == 50_415  # the first is the header
    assert (state.skipped, state.duplicates) == (0, 0)
    assert (state.first_sequence, state.last_sequence) == (1, 50_414)
    again = await replay(nats_server, ORDERS, tmp_path / "state")
    assert again.duplicates == 50_414


@pytest.mark.parametrize("zipped", [False, True])
async def test_lines_arrive_in_order(nats_server, tmp_path, zipped):
    path = write(tmp_path, [line(number) for number in range(3000)])
    if zipped:
        path.write_bytes(gzip.compress(path.read_bytes()))
    state = await replay(nats_server, path, tmp_path / "state")
    assert state.finished
    assert await stored(nats_server) == [f"id-{number}" for number in range(3000)]


async def test_a_wrong_line_stops_with_its_number_and_nothing_before_it_is_lost(
    nats_server, tmp_path
):
    path = write(tmp_path, [line(1), line(2), "broken", line(3)])
    with pytest.raises(Rejected, match=r"line 3 of .*events.jsonl.*--skip-invalid"):
        await replay(nats_server, path, tmp_path / "state")
    assert await stored(nats_server) == ["id-1", "id-2"]
    state = recordings.load_state(tmp_path / "state", recordings.open_recording(path))
    assert (state.line, state.finished) == (2, False)
    await replay(nats_server, path, tmp_path / "state", state, skip_invalid=True)
    assert await stored(nats_server) == ["id-1", "id-2", "id-3"]
    assert (state.line, state.skipped, state.finished) == (4, 1, True)


async def test_a_subject_that_is_not_allowed_stops_with_the_line(nats_server, tmp_path):
    forbidden = line(2, subject="mts.v1.operations.halt.lifted")
    path = write(tmp_path, [line(1), forbidden, line(3)])
    with pytest.raises(Denied, match=r"line 2 of .*may not publish on mts.v1.operations"):
        await replay(nats_server, path, tmp_path / "state")
    state = recordings.load_state(tmp_path / "state", recordings.open_recording(path))
    assert state.line == 1


async def test_a_replay_that_was_interrupted_goes_on_without_publishing_twice(
    nats_server, tmp_path
):
    path = write(tmp_path, [line(number, second=number // 200) for number in range(2000)])
    recording = recordings.open_recording(path)
    slow = replay(nats_server, path, tmp_path / "state", speed=0.01)  # fifteen minutes
    first = asyncio.create_task(slow)

    async def some_arrived() -> bool:
        client = await nats_server.connect()
        try:
            return (await client.jetstream().stream_info(accounts.STREAM)).state.messages > 100
        finally:
            await client.close()

    await eventually(some_arrived)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    state = recordings.load_state(tmp_path / "state", recording)
    assert 100 < state.line < 2000
    assert await stored(nats_server) == [f"id-{number}" for number in range(state.line)]
    state = await replay(nats_server, path, tmp_path / "state", state)
    assert (state.events, state.duplicates) == (2000, 0)
    assert await stored(nats_server) == [f"id-{number}" for number in range(2000)]


async def test_recorded_times_are_kept_and_gone_through_faster(nats_server, tmp_path):
    path = write(tmp_path, [line(1, 0), line(2, 30), line(3, 10)])
    loop = asyncio.get_running_loop()
    started = loop.time()
    await replay(nats_server, path, tmp_path / "state", speed=100)
    assert loop.time() - started >= 0.3  # 30 recorded seconds, a hundred times as fast


async def test_a_changed_file_begins_anew(tmp_path):
    path = write(tmp_path, [line(1)])
    recordings.save_state(
        tmp_path, recordings.open_recording(path), Replay("x", line=1, finished=True)
    )
    assert recordings.load_state(tmp_path, recordings.open_recording(path)).finished
    path = write(tmp_path, [line(1), line(2)])
    assert recordings.load_state(tmp_path, recordings.open_recording(path)).line == 0


def test_a_damaged_or_missing_file_is_rejected_with_the_place(tmp_path):
    with pytest.raises(Rejected, match=r"cannot read .*nowhere"):
        recordings.open_recording(tmp_path / "nowhere")
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(b"one\ntwo\n" * 10_000)[:-50])
    with pytest.raises(Rejected, match="cannot be read after line"):
        recordings.open_recording(path)
    path.write_bytes(b"short\n" + b"x" * 2_000_000)
    with pytest.raises(Rejected, match=r"line 2 of .* has more than 1048576 bytes"):
        recordings.open_recording(path)


async def test_an_empty_file_is_a_replay_of_nothing(nats_server, tmp_path):
    state = await replay(nats_server, write(tmp_path, []), tmp_path / "state")
    assert (state.events, state.finished) == (0, True)
