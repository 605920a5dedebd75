"""What may be fetched, when, what is said, and what the stream may order."""

import pytest

from operations.clock import NANOSECONDS
from operations.errors import Rejected
from operations.events.findings import (
    Finding,
    FindingCleared,
    FindingRaised,
    FindingUpdated,
    Parameter,
)
from operations.events.operations import DatabaseMaintained, Maintenance
from operations.events.registry import (
    Service,
    ServiceDeregistered,
    ServiceLeaving,
    ServiceRegistered,
)
from operations.measuring import (
    LONGEST_PAUSE_SECONDS,
    VACUUMED,
    Allowed,
    Course,
    Orders,
    pause_seconds,
)

pytestmark = pytest.mark.unit
LOOPBACK = Allowed("127.0.0.1:*,localhost:8080,[::1]:*")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:18301/healthz",
        "http://127.0.0.1/healthz",
        "http://localhost:8080/",
        "http://LOCALHOST:8080/",
        "https://[::1]:9/healthz?deep=1",
    ],
)
def test_what_is_allowed_is_fetched(url):
    assert LOOPBACK.refusal(url) == ""


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8081/",
        "http://localhost/",
        "http://localhost.:8080/",
        "http://127.0.0.2:80/",
        "http://10.0.0.1:80/healthz",
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:80@10.0.0.1/",
        "http://user:secret@127.0.0.1:80/",
        "http://10.0.0.1:80#@127.0.0.1:80/",
        "http://127.0.0.1.example.com:80/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:80/\r\nX: y",
        "http://127.0.0.1:80/a b",
        "http://127.0.0.1:80/\u0661",
        "http://[::2]:80/",
        "127.0.0.1:80",
        "http://",
        "",
    ],
)
def test_what_is_not_allowed_is_refused_with_a_reason(url):
    assert LOOPBACK.refusal(url)


@pytest.mark.parametrize("text", ["127.0.0.1", "a:b", ":80", "a:", "*"])
def test_a_pattern_that_is_no_place_is_refused(text):
    with pytest.raises(Rejected, match="MTS_MEASURE_ALLOWED"):
        Allowed(text)


def test_without_a_pattern_nothing_is_allowed():
    assert Allowed("").refusal("http://127.0.0.1:80/")


def test_the_pauses_grow_after_three_failures_and_have_an_end():
    service = Service(name="db", healthz_url="http://127.0.0.1:1/", poll_seconds=10.0)
    assert [pause_seconds(service, reds, 0.5) for reds in (0, 1, 3, 4, 5, 6, 99)] == [
        10, 10, 10, 20, 40, LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS,
    ]  # fmt: skip
    assert pause_seconds(service, 0, 0.0) == pytest.approx(9)
    assert pause_seconds(service, 0, 1.0) == pytest.approx(11)
    seldom = Service(name="db", healthz_url="http://127.0.0.1:1/", poll_seconds=300.0)
    assert pause_seconds(seldom, 9, 0.5) == 300
    eager = Service(name="db", healthz_url="http://127.0.0.1:1/", poll_seconds=0.0)
    assert pause_seconds(eager, 0, 0.5) == 1


def said(answers, step_seconds=10):
    """Which of a row of good and red polls are said."""
    course, found = Course(), ""
    for number, answer in enumerate(answers):
        now_ns = (1000 + number * step_seconds) * NANOSECONDS
        course, told = course.after(healthy=answer == "g", now_ns=now_ns)
        found += answer if told else "."
    return found


def test_said_is_every_red_poll_every_change_the_first_good_ones_and_one_a_minute():
    assert said("ggggggggggggggggggggg") == "ggg.....g.....g.....g"
    assert said("gggggrrrrrgggggg") == "ggg..rrrrrggg..."
    assert said("grgrgrg") == "grgrgrg"
    assert said("gggggg", step_seconds=61) == "gggggg"


def finding(kind=FindingRaised, episode="e1", table="audit.event", **more):
    values = {"check": "db_watchdog", "mode": "act"} | more
    data = Finding(
        episode=episode, severity="warning", title="", looked_at="2026-01-05T00:00:00Z",
        rule_version="1", parameters=(Parameter(name="vacuum_table", value=table),), **values,
    )  # fmt: skip
    return kind(event_id=f"f-{episode}", subject_id="mts audit.event", data=data)


def orders(*events):
    folded = Orders()
    for event in events:
        folded.take(event)
    return folded


def done(episode="e1"):
    data = Maintenance(
        database="mts", table="audit.event", episode=episode, statement="", done=True, seconds=1.0
    )
    return DatabaseMaintained(subject_id="audit.event", data=data)


def test_a_finding_that_may_act_orders_a_vacuum_once_in_an_episode():
    assert [each.table for each in orders(finding()).wanted.values()] == ["audit.event"]
    assert orders(finding(), finding(FindingUpdated)).wanted.keys() == {"e1"}
    assert not orders(finding(), done()).wanted
    assert not orders(finding(), done(), finding(FindingUpdated)).wanted
    assert not orders(finding(), finding(FindingCleared)).wanted
    again = orders(finding(), done(), finding(FindingCleared), finding(episode="e2"))
    assert again.wanted.keys() == {"e2"}


@pytest.mark.parametrize(
    "other",
    [
        {"mode": "observe"},
        {"check": "vpin"},
        {"table": "audit.head"},
        {"table": "audit.event; DROP TABLE audit.event"},
        {"table": ""},
    ],
)
def test_nothing_else_orders_one(other):
    assert not orders(finding(**other)).wanted


def test_a_canary_and_a_drill_order_nothing():
    for environment in ("canary", "drill"):
        asked = finding()
        there = ServiceRegistered(
            subject_id="a", environment=environment,
            data=Service(name="a", healthz_url="http://127.0.0.1:1/"),
        )  # fmt: skip
        folded = orders(
            FindingRaised(subject_id="x", environment=environment, data=asked.data), there
        )
        assert not folded.wanted
        assert not folded.services


def test_services_come_change_and_go():
    here = [
        ServiceRegistered(subject_id=name, data=Service(name=name, healthz_url=url))
        for name, url in (("a", "http://127.0.0.1:1/"), ("b", "x"), ("a", "http://127.0.0.1:2/"))
    ]
    leaving = ServiceDeregistered(subject_id="b", data=ServiceLeaving(name="b", reason="old"))
    folded = orders(*here, leaving)
    assert {name: each.healthz_url for name, each in folded.services.items()} == {
        "a": "http://127.0.0.1:2/"
    }


def test_the_head_of_the_log_can_never_be_locked_by_a_vacuum():
    assert set(VACUUMED) == {"audit.event", "audit.projection"}
