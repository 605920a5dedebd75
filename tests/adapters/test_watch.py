"""Does a warehouse hold what the stream says, and say so under a name of its own?"""

import pytest
from feeding import Tape
from reduced import answered, asked, released
from watching import START_NS, event, run, spoken, stored

from operations.adapters import judge, roster_files, watch_parts
from operations.adapters.watch import Watch
from operations.clock import now_ns
from operations.config import Settings
from operations.events.base import encode
from operations.events.operations import ConfigChange, ConfigChanged
from operations.signing.message import HEADER, Signer
from operations.watchdogs import vpin
from operations.watchdogs.reductions import TABLES

pytestmark = pytest.mark.unit
AT = "2026-11-20T20:00:00Z"


def measured(tmp_path, funds=(), name="watchdogs-1"):
    """What is said of the table of fund marks at a minute, as table, warehouse and id."""
    settings, tape = Settings(home=str(tmp_path)), Tape()
    roster_files.ensure_development(settings)
    judging = judge.for_service(settings, tmp_path / "roster.json")
    build = watch_parts.parts
    watch = Watch(judging, lambda: build(settings), 1, frozenset(funds), name)
    tape.nav("100")
    tape.tick()
    for made, sequence, at_ns in tape.events:
        place = f"$JS.ACK.MTS.watchdogs-1.1.{sequence}.{sequence}.{at_ns}.0".encode()
        watch.take([(made.subject.encode(), place, b"", encode(made))], live=True)
    (found,) = [each for each in watch.measures if each.subject_id == "fund_mark"]
    return found.data.table, found.data.warehouse, found.data.rows, found.event_id


def test_two_processes_say_the_same_under_two_ids_and_two_names(tmp_path):
    first, second = (measured(tmp_path, name=f"watchdogs-{n}") for n in (1, 2))
    assert first[:3] == ("fund_mark", "watchdogs-1", 1)
    assert second[:3] == ("fund_mark", "watchdogs-2", 1)
    assert first[3] != second[3]
    assert measured(tmp_path)[3] == first[3]


def test_who_watches_some_funds_is_not_compared_with_who_watches_others(tmp_path):
    assert measured(tmp_path, ["beta", "alpha"])[:3] == (
        "fund_mark of alpha, beta",
        "watchdogs-1",
        1,
    )
    assert measured(tmp_path, ["beta"])[:3] == ("fund_mark of beta", "watchdogs-1", 0)


def test_what_was_asked_and_what_order_systems_answered_is_in_the_tables_where_they_signed_it(
    tmp_path,
):
    settings = Settings(home=str(tmp_path))
    roster_files.ensure_development(settings)
    judging = judge.for_service(settings, tmp_path / "roster.json")
    watch = Watch(judging, lambda: watch_parts.parts(settings), 1)
    number = 0
    for said, name in (
        (asked(1, "reduce_allocation", "strategy", "s1", 0.5), "service-watchdogs"),
        (answered("ACKNOWLEDGED", 1, 2), "oms-1"),
        (released(2, 3), "service-actions"),
    ):
        private = roster_files.read_private(settings.path("keys", f"{name}.key"))
        signer = Signer(private, settings.audit.origin, settings.environment)
        for signature in ("nobody's", signer(said.subject, encode(said))):
            number += 1
            block = f"NATS/1.0\r\n{HEADER}: {signature}\r\n\r\n".encode()
            place = f"$JS.ACK.MTS.watchdogs-1.1.{number}.{number}.{now_ns()}.0".encode()
            watch.take([(said.subject.encode(), place, block, encode(said))])
    rows = {each.name: watch.engine.warehouse.measure(each)[0] for each in TABLES}
    assert rows == {"action_asked": 1, "action_outcome": 2}
    assert watch.refused == 3


def test_what_is_saved_is_what_was_known_when_it_was_begun(tmp_path):
    settings, tape = Settings(home=str(tmp_path)), Tape()
    roster_files.ensure_development(settings)
    judging = judge.for_service(settings, tmp_path / "roster.json")

    def watch():
        return Watch(judging, lambda: watch_parts.parts(settings), 1)

    def fold(one, first, last):
        for made, sequence, at_ns in tape.events[first:last]:
            place = f"$JS.ACK.MTS.watchdogs-1.1.{sequence}.{sequence}.{at_ns}.0".encode()
            one.take([(made.subject.encode(), place, b"", encode(made))])

    def rows(one):
        (table,) = [each for each in one.engine.warehouse.tables if each.name == "fund_mark"]
        return one.engine.warehouse.measure(table)

    for value in range(100, 110):
        tape.nav(str(value))
    one, same, later = watch(), watch(), watch()
    fold(one, 0, 4)
    fold(same, 0, 4)
    write = one.freeze(tmp_path / "saved")
    fold(one, 4, 10)
    one.engine.warehouse.trim(START_NS)  # which packs the tables
    write()
    assert later.load(tmp_path / "saved")
    assert (later.reached, rows(later)) == (4, rows(same))
    fold(later, 0, 10)
    assert rows(later) == rows(one) != rows(same)


def test_a_death_while_a_snapshot_is_written_leaves_the_one_before(tmp_path):
    settings, tape = Settings(home=str(tmp_path)), Tape()
    roster_files.ensure_development(settings)
    judging = judge.for_service(settings, tmp_path / "roster.json")
    one, later = (Watch(judging, lambda: watch_parts.parts(settings), 1) for _ in range(2))
    saved = tmp_path / "saved"
    tape.nav("100")
    for turn in range(4):
        ((made, _, at_ns),) = tape.events
        place = f"$JS.ACK.MTS.watchdogs-1.1.{turn + 1}.{turn + 1}.{at_ns}.0".encode()
        one.take([(made.subject.encode(), place, b"", encode(made))])
        if turn < 3:
            one.freeze(saved)()
    one.engine.warehouse.freeze({}).write(next(iter(_other(saved))) / "real")  # and no further
    assert later.load(saved)
    assert later.reached == 3
    assert len(list(saved.iterdir())) == 3


def _other(saved):
    newest = (saved / "newest").resolve()
    return [each for each in saved.iterdir() if each.name in {"first", "second"} - {newest.name}]


@pytest.mark.parametrize(("mode", "tried"), [("act", "observe"), ("off", "off")])
def test_a_canary_asks_for_nothing_and_is_not_found_by_what_is_switched_off(tmp_path, mode, tried):
    parts = watch_parts.parts(Settings(home=str(tmp_path)))
    change = ConfigChange(
        setting="vpin.mode", old_value=None, new_value=mode, reason="test", layer="file"
    )
    parts.layers.take(event(ConfigChanged, "vpin.mode", change), 1)
    said = run(parts.canaries, stored(vpin.canary(START_NS, "run")))
    raised = [each for each in spoken(said) if each[0] == "finding.vpin.raised"]
    assert len(raised) == (tried == "observe")
    assert {each.data.mode for each in said} <= {"observe"}
    assert parts.canaries.standings["vpin", "canary-run"].mode == tried
