"""Does the journal hold every halt that is not over, whenever its process or machine died?"""

import pytest

from operations.adapters.halt_journal import Decided, HaltJournal
from operations.errors import Retryable

pytestmark = pytest.mark.unit


def decided(halt_id, event_id="e1", payload="{}"):
    return Decided(halt_id, event_id, "mts.v1.operations.halt.requested", payload)


def test_what_was_requested_and_is_not_over_is_there_after_a_restart(tmp_path):
    with HaltJournal(tmp_path / "halts", "halt-1") as journal:
        assert journal.request(decided("h1"))
        assert journal.request(decided("h1", "e2"))
        assert not journal.request(decided("h1"))
        assert journal.request(decided("h2", payload='{"text":"line\\nbreak ü"}'))
        journal.request(decided("h3"))
        journal.lift("h3")
        journal.lift("h4")
    with HaltJournal(tmp_path / "halts", "halt-1") as journal:
        assert {name: set(known) for name, known in journal.active.items()} == {
            "h1": {"e1", "e2"},
            "h2": {"e1"},
        }
        assert journal.active["h2"]["e1"].payload == '{"text":"line\\nbreak ü"}'
        assert journal.damaged == 0


def test_a_process_that_is_killed_before_any_sync_has_lost_nothing(tmp_path):
    journal = HaltJournal(tmp_path / "halts", "halt-1")
    journal.request(decided("h1"))
    journal._lock.close()  # the system does this for a dead process
    with HaltJournal(tmp_path / "halts", "halt-1") as again:
        assert set(again.active) == {"h1"}


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_line_that_a_crash_tore_costs_that_line_only(tmp_path, cut):
    with HaltJournal(tmp_path / "halts", "halt-1") as journal:
        journal.request(decided("h1"))
        journal.request(decided("h2"))
    file = tmp_path / "halts" / "halt-1.journal"
    file.write_bytes(file.read_bytes()[:-cut])
    with HaltJournal(tmp_path / "halts", "halt-1") as journal:
        # Without its line break alone the last line is still whole.
        assert set(journal.active) == ({"h1", "h2"} if cut == 1 else {"h1"})
        assert journal.damaged == (0 if cut == 1 else 1)
        journal.request(decided("h3"))
    with HaltJournal(tmp_path / "halts", "halt-1") as journal:
        assert {"h1", "h3"} <= set(journal.active)


def test_a_changed_line_is_noticed(tmp_path):
    with HaltJournal(tmp_path / "halts", "halt-1") as journal:
        journal.request(decided("h1"))
    file = tmp_path / "halts" / "halt-1.journal"
    file.write_bytes(file.read_bytes().replace(b"h1", b"h9"))
    with HaltJournal(tmp_path / "halts", "halt-1") as journal:
        assert (journal.active, journal.damaged) == ({}, 1)


def test_two_processes_never_write_one_journal(tmp_path):
    with (
        HaltJournal(tmp_path / "halts", "halt-1"),
        HaltJournal(tmp_path / "halts", "halt-2"),
        pytest.raises(Retryable, match="another process holds"),
    ):
        HaltJournal(tmp_path / "halts", "halt-1")


def test_others_cannot_read_it(tmp_path):
    with HaltJournal(tmp_path / "halts", "halt-1"):
        assert (tmp_path / "halts").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "halts" / "halt-1.journal").stat().st_mode & 0o777 == 0o600
