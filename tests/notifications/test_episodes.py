"""Does what went on before a restart go on, whatever the stream still holds of its beginning?"""

import pytest
from alert_cases import START_NS, acknowledgement, blocking, cleared, finding, halt, lifted, updated

from operations.notifications.episodes import LOST, Episodes, Stored

pytestmark = pytest.mark.unit


def folded(*events, first=1, before=()):
    """The fold of a stream that begins at a sequence, for somebody who knew what went on."""
    made = Episodes()
    made.expect(before, first)
    for sequence, event in enumerate(events, first):
        made.take(Stored(event, sequence, START_NS + sequence, "ann", "drawdown"))
    made.end_lost(START_NS + 99)
    return made.by_id


def test_what_the_stream_holds_is_as_the_stream_says():
    before = folded(finding(), halt()).values()
    assert folded(finding(), halt(), before=before) == folded(finding(), halt())
    after = folded(finding(), halt(), cleared(), finding(title="again"), before=before)
    assert (after["e-1"].title, after["e-1"].raised_sequence) == ("again", 4)


def test_what_is_older_than_the_stream_goes_on_until_the_stream_ends_it():
    before = folded(finding(), halt(), acknowledgement()).values()
    kept = folded(updated(), halt(), blocking(), first=10, before=before)
    assert {each.name for each in kept.values()} == {"1:e-1", "2:h-1"}
    assert all(each.open for each in kept.values())
    assert kept["e-1"].acknowledged_by == "ann"
    ended = folded(cleared(), lifted("h-1"), first=10, before=before)
    assert [(each.name, each.open) for each in ended.values()] == [
        ("1:e-1", False),
        ("2:h-1", False),
    ]


@pytest.mark.parametrize("asked_again", [(), (halt(),)])
def test_in_another_stream_halts_go_on_and_the_rest_ends_and_says_why(asked_again):
    before = folded(finding(), finding(episode="e-2"), halt(), acknowledgement("h-1")).values()
    found = folded(finding(episode="e-3"), *asked_again, before=before)
    halted = found["h-1"]
    assert (halted.name, halted.open, halted.acknowledged_by) == ("3:h-1", True, "ann")
    for name in ("e-1", "e-2"):
        assert (found[name].open, found[name].closed_because) == (False, LOST)
        assert found[name].cleared_ns == START_NS + 99
    assert found["e-3"].open
