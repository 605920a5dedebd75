"""Are routes and causes read as they are written, and is a mistake in them refused?"""

import pytest
from alert_cases import RULES, finding

from operations.errors import Rejected
from operations.notifications.episode import found
from operations.notifications.rules import inhibitions_of, routes_of

pytestmark = pytest.mark.unit
KNOWN = frozenset(("slack", "pagerduty"))


def episode(**changes):
    return found(finding(**changes), 1, 0)


@pytest.mark.parametrize(
    "text", ["alpha", "alpha=", "=slack", "alpha:loud=slack", "alpha=slak", "alpha:=slack+x"]
)
def test_a_route_that_leads_nowhere_is_refused(text):
    with pytest.raises(Rejected, match="route"):
        routes_of(text, KNOWN)


def test_a_route_speaks_of_its_fund_from_its_severity_on():
    (route,) = routes_of(" alpha : critical = slack + pagerduty ".replace(" : ", ":"), KNOWN)
    assert route.channels == KNOWN
    assert route.fits(episode(fund_id="alpha"))
    assert not route.fits(episode(fund_id="alpha", severity="warning"))
    assert not route.fits(episode(fund_id="beta"))


@pytest.mark.parametrize("text", ["nats", ">x", "nats>"])
def test_an_explanation_without_cause_or_effect_is_refused(text):
    with pytest.raises(Rejected, match="write: nats>"):
        inhibitions_of(text)


def test_a_cause_may_be_narrowed_to_its_subject():
    from msgspec.structs import replace

    rules = replace(RULES, inhibitions=inhibitions_of("dependency_watchdog/db-1>db_*"))
    cause = episode(check="dependency_watchdog", subject_id="db-1", episode="c")
    other = episode(check="dependency_watchdog", subject_id="db-2", episode="d")
    effect = episode(check="db_watchdog")
    assert rules.explains(cause, effect)
    assert not rules.explains(other, effect)
    assert not rules.explains(cause, episode(check="vpin"))
