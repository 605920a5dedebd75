"""What an order system does not forget."""

import pytest

from operations.adapters.oms_memory import FileHalt, HeardHalt, MemoryFile
from operations.errors import Corrupted

pytestmark = pytest.mark.unit

HEARD = HeardHalt(
    halt_id="h-1",
    level="FIRM_HALT",
    scope_id="",
    mode="BLOCK_ALL",
    reason_code="MANUAL",
    reason="",
    requested_by="risk",
    requested_at="2026-11-20T20:00:00Z",
    event_id="e-1",
)


def test_what_was_changed_is_there_after_a_restart(tmp_path):
    file = FileHalt(episode="e", halt_id="h", reason="x", seen_at="t", present=True)
    MemoryFile(tmp_path / "oms.json").change(heard=(HEARD,), file=file)
    again = MemoryFile(tmp_path / "oms.json")
    assert (again.now.heard, again.now.file) == ((HEARD,), file)


def test_a_deed_is_begun_once_in_the_life_of_a_halt(tmp_path):
    memory = MemoryFile(tmp_path / "oms.json")
    assert memory.do_once("h-1", "flatten")
    assert not memory.do_once("h-1", "flatten")
    assert memory.do_once("h-2", "flatten")
    again = MemoryFile(tmp_path / "oms.json")
    assert again.was_done("h-1", "flatten")
    assert not again.was_done("h-1", "cancel_all")


def test_a_memory_that_cannot_be_read_stops_the_order_system_before_it_does_anything(tmp_path):
    (tmp_path / "oms.json").write_text("{")
    with pytest.raises(Corrupted, match="a person has to look"):
        MemoryFile(tmp_path / "oms.json")


def test_a_crash_while_writing_leaves_the_memory_from_before(tmp_path):
    memory = MemoryFile(tmp_path / "oms.json")
    memory.change(heard=(HEARD,))
    (tmp_path / "oms.new").write_text('{"heard":[')
    assert MemoryFile(tmp_path / "oms.json").now.heard == (HEARD,)
