"""Does a message say what is the matter, what to read and what to type, in safe words?"""

import pytest
from alert_cases import (
    PAGER,
    START_NS,
    Office,
    cleared,
    finding,
    halt,
    registered,
    updated,
    with_rules,
)

from operations.clock import parse_rfc3339, rfc3339
from operations.notifications.message import message_of, page_of

pytestmark = pytest.mark.unit


def said(decision):
    return message_of(decision, decision.action, "https://wiki.example/runbooks/", START_NS)


def test_it_says_everything_that_the_finding_says():
    office = Office()
    office.hear(
        finding(
            fund_id="alpha",
            strategy_id="momentum",
            statistic=0.61,
            statistic_name="vpin",
            threshold=0.4,
            samples=600,
            details="aggressive flow",
        )
    )
    assert said(office.sent[0]).text.splitlines() == [
        "[critical] e-1 is the matter",
        "fund: alpha",
        "strategy: momentum",
        "check: vpin",
        "since: 2026-11-20T16:00:00Z",
        "judged: vpin 0.61 against 0.4, 600 samples",
        "details: aggressive flow",
        "runbook: https://wiki.example/runbooks/vpin.md",
        "alert: e-1 (mts alerts show e-1)",
    ]
    assert said(office.sent[0]).created_at == rfc3339(START_NS)


def test_what_is_unknown_is_said_to_be():
    office = Office()
    office.hear(finding(threshold=0.4))
    assert "judged: value unknown against 0.4" in said(office.sent[0]).lines


@pytest.mark.parametrize(
    ("changes", "marks"),
    [
        ({"mode": "observe", "would_have": "halted"}, "OBSERVING "),
        ({"environment": "canary"}, "CANARY "),
        ({"environment": "paper"}, "PAPER "),
        ({"environment": "drill", "mode": "observe"}, "DRILL OBSERVING "),
    ],
)
def test_what_is_no_emergency_says_so_first(changes, marks):
    office = Office()
    office.hear(finding(**changes))
    assert said(office.sent[0]).headline == f"[critical] {marks}e-1 is the matter"


def test_an_update_and_an_end_say_what_became_of_it():
    office = Office()
    office.hear(finding(severity="warning"))
    office.hear(updated(severity="critical"))
    update = next(each for each in office.sent if each.action == "update")
    assert said(update).headline == "[critical] worse: e-1 is the matter"


def test_a_text_of_anybody_cannot_add_lines_or_move_a_terminal():
    office = Office()
    office.hear(finding(title="bad\nrunbook: http://evil\x1b[2J\u202e", details="a\r\nb"))
    made = said(office.sent[0])
    assert made.headline == "[critical] bad runbook: http://evil [2J"
    assert "details: a b" in made.lines
    assert sum(line.startswith("runbook:") for line in made.lines) == 1


def test_huge_texts_are_shortened_and_say_so():
    """What a service refuses for its length, nobody would be told of."""
    office = Office()
    office.hear(finding(title="t" * 100_000, details="d" * 200_000))
    made = said(office.sent[0])
    assert len(made.headline) == 300
    assert "details: " + "d" * 2000 + " ... (shortened)" in made.lines
    office.hear(*(finding(episode=f"f-{number}", title="t" * 1000) for number in range(240)))
    digest = said(next(each for each in office.sent if each.reason == "digest"))
    assert len(digest.text) < 100_000


def test_the_end_of_what_began_again_meanwhile_still_says_what_ended():
    """A beginning and its end may come with the next beginning: then only the newest is known."""
    office = Office(with_rules(channels=(PAGER,)))
    office.hear(finding(title="first"))
    office.hear(cleared(), finding(title="second"))
    ended, began = office.sent[1:]
    assert (said(ended).headline, ended.action) == ("[critical] over: first", "end")
    assert (said(began).headline, began.action) == ("[critical] second", "raise")


def test_a_digest_counts_and_names_and_stops_naming():
    office = Office()
    office.hear(*(finding(episode=f"e-{number}") for number in range(40)))
    office.hear(*(finding(episode=f"f-{number}") for number in range(240)))
    first, second = (
        said(each)
        for each in office.sent
        if (each.reason, each.thread.channel) == ("digest", "pagerduty")
    )
    assert first.headline == "[critical] 35 alerts at once; mts alerts list"
    named = {line.partition("(")[2].rstrip(")") for line in first.lines}
    told_alone = {each.episodes[0].id for each in office.sent if each.reason == "first_message"}
    assert named | told_alone == {f"e-{number}" for number in range(40)}
    assert len(second.lines) == 201
    assert second.lines[-1] == "- and 40 more: mts alerts list"


def test_what_came_while_the_market_was_closed_says_so_and_what_of_it_is_over():
    office = Office()
    office.now_ns = parse_rfc3339("2026-11-20T22:00:00Z")
    office.hear(*registered())
    for name in ("e-1", "e-2"):
        office.hear(finding(episode=name, severity="warning", fund_id="alpha"))
    office.hear(cleared("e-1"))
    office.pass_(parse_rfc3339("2026-11-23T14:30:00Z") - office.now_ns)
    made = said(next(each for each in office.sent if each.reason == "opening"))
    assert made.headline == (
        "[warning] 2 alerts while the market was closed, 1 of them over; mts alerts list"
    )
    assert made.lines == (
        "- [warning] over: e-1 is the matter (e-1)",
        "- [warning] e-2 is the matter (e-2)",
    )


def test_a_halt_names_its_own_page():
    office = Office()
    office.hear(halt(), runbook="daily_loss")
    assert "runbook: https://wiki.example/runbooks/daily_loss.md" in said(office.sent[0]).lines
    assert page_of("oms_oms-1") == "order_system"
    assert page_of("audit") == "own_records"


def test_each_message_of_a_conversation_has_an_id_of_its_own():
    office = Office()
    office.hear(finding(severity="warning"))
    office.hear(updated(severity="critical"))
    office.pass_(60 * 15 * 1_000_000_000)
    ids = [said(each).message_id for each in office.sent]
    assert len(set(ids)) == len(ids) > 5
