"""Where does an action stand, whatever arrives twice, late, or from somebody who may not?"""

from decimal import Decimal

import msgspec
import pytest
from action_cases import answer, at, released, requested
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from operations.actions.state import Actions
from operations.actions.targets import BY_PERSON

pytestmark = pytest.mark.unit


def ask(actions: Actions, event, seconds: float = 0) -> bool:
    return actions.request(event, "service-watchdogs", len(actions.known) + 1, at(seconds))


def active(actions: Actions) -> set[str]:
    return {each.request.action_id for each in actions.active()}


def test_a_second_delivery_changes_nothing_also_after_the_release():
    actions = Actions()
    assert ask(actions, requested())
    assert not ask(actions, requested(allocation_factor=Decimal("0.1")))
    assert actions.known["act-1"].request.allocation_factor == Decimal("0.5")
    assert actions.release(released(), "operator", 2, at(1)) is None
    assert not ask(actions, requested(), 2)
    assert active(actions) == set()


def test_what_a_canary_asks_for_is_done_by_nobody():
    actions = Actions()
    asked = msgspec.structs.replace(requested(), environment="canary")
    assert not ask(actions, asked)
    assert active(actions) == set()
    assert ask(actions, requested())


def test_a_stricter_action_of_the_same_episode_replaces_and_a_laxer_one_is_refused():
    actions = Actions()
    ask(actions, requested("act-1"))
    ask(actions, requested("act-2", allocation_factor=Decimal("0.75")))
    assert active(actions) == {"act-1"}
    assert actions.known["act-2"].end.how == "refused"
    assert "act-1 of the same episode" in actions.known["act-2"].end.reason
    ask(actions, requested("act-3", allocation_factor=Decimal("0.25")))
    assert active(actions) == {"act-3"}
    assert actions.known["act-1"].end.by == "act-3"


def test_another_episode_or_scope_stands_beside_it():
    actions = Actions()
    ask(actions, requested("act-1"))
    ask(actions, requested("act-2", episode="epi-2", allocation_factor=Decimal("0.75")))
    ask(actions, requested("act-3", scope_id="momentum", allocation_factor=Decimal("0.75")))
    assert active(actions) == {"act-1", "act-2", "act-3"}


def test_after_a_release_a_laxer_one_counts():
    actions = Actions()
    ask(actions, requested("act-1"))
    actions.release(released(), "operator", 2, at(1))
    ask(actions, requested("act-2", allocation_factor=Decimal("0.75")), 2)
    assert active(actions) == {"act-2"}


def test_only_a_person_ends_what_a_person_has_to_end():
    actions = Actions()
    for kind, more in (
        ("reduce_allocation", {}),
        ("shadow", {}),
        ("hedge", {"theta_per_day_at_most": Decimal(1), "currency": "USD"}),
        ("reduce_gross", {"gross_at_most": Decimal(1), "currency": "USD"}),
        ("cooldown", {}),
        ("throttle", {}),
    ):
        ask(actions, requested(kind, kind, until_seconds=5, **more))
    assert {each.request.kind for each in actions.pass_time(at(5))} == {"cooldown", "throttle"}
    assert active(actions) == BY_PERSON


def test_exactly_at_its_end_it_is_over_and_a_nanosecond_before_it_is_not():
    actions = Actions()
    ask(actions, requested(kind="cooldown", until_seconds=5))
    assert actions.pass_time(at(5) - 1) == []
    assert [each.end.how for each in actions.pass_time(at(5))] == ["expired"]


@pytest.mark.parametrize(
    ("event", "seconds", "words"),
    [
        (released("other"), 1, "no action 'other' is known"),
        (released(), 600, "was void at"),
        (released(), 1, ""),
    ],
)
def test_a_release_that_ends_nothing_says_why(event, seconds, words):
    actions = Actions()
    ask(actions, requested())
    refused = actions.release(event, "operator", 2, at(seconds))
    assert (refused is None) if not words else words in refused.reason


def test_a_second_release_is_refused_and_the_same_one_again_is_not():
    actions = Actions()
    ask(actions, requested())
    first = released(name="one")
    assert actions.release(first, "operator", 2, at(1)) is None
    assert actions.release(first, "operator", 3, at(2)) is None
    assert (
        "over already: released by operator"
        in actions.release(released(name="two"), "cosigner", 4, at(3)).reason
    )


def test_what_has_expired_before_it_is_released_is_told_so():
    actions = Actions()
    ask(actions, requested(kind="cooldown", until_seconds=5))
    refused = actions.release(released(), "operator", 2, at(6))
    assert "over already: expired" in refused.reason


def test_who_is_silent_and_when_nobody_is_known():
    actions = Actions()
    ask(actions, requested())
    action = actions.known["act-1"]
    both = frozenset(("oms-1", "oms-2"))
    assert action.silent(both) == both
    assert action.silent(frozenset()) == {""}
    actions.answer(answer("oms-1"), at(1))
    actions.answer(answer("oms-1", "COMPLETED"), at(2))
    actions.answer(answer("oms-1"), at(3))  # an old message again
    assert action.silent(both) == {"oms-2"}
    assert action.silent(frozenset()) == frozenset()
    assert action.answers["oms-1"].answer.phase == "COMPLETED"
    assert action.answers["oms-1"].first_ns == at(1)
    actions.answer(answer("oms-1", action_id="unknown"), at(4))


class Life(RuleBasedStateMachine):
    """Anything in any order, against the plain rules of what may be in force."""

    def __init__(self):
        super().__init__()
        self.actions = Actions()
        self.seconds = 0
        self.released: set[str] = set()

    @rule(
        number=st.integers(1, 6),
        kind=st.sampled_from(("reduce_allocation", "cooldown", "shadow")),
        factor=st.sampled_from(("0", "0.25", "0.5", "1")),
        ends=st.integers(1, 40),
    )
    def request(self, number, kind, factor, ends):
        more = {"allocation_factor": Decimal(factor)} if kind == "reduce_allocation" else {}
        event = requested(f"act-{number}", kind, until_seconds=self.seconds + ends, **more)
        before = dict(self.actions.known)
        changed = ask(self.actions, event, self.seconds)
        assert changed is (f"act-{number}" not in before)

    @rule(number=st.integers(1, 7))
    def release(self, number):
        name = f"act-{number}"
        was = self.actions.known.get(name)
        held = was is not None and was.end is None
        self.actions.pass_time(at(self.seconds))
        still = held and was.end is None
        event = released(name, self.seconds)
        refused = self.actions.release(event, "operator", 1, at(self.seconds))
        again = was is not None and was.end is not None and was.end.cause == event.event_id
        assert (refused is None) is (still or again)
        self.released |= {name} if refused is None else set()

    @rule(seconds=st.integers(0, 30))
    def time(self, seconds):
        self.seconds += seconds
        self.actions.pass_time(at(self.seconds))

    @invariant()
    def what_is_over_stays_over_and_each_episode_has_one_of_a_kind(self):
        held = list(self.actions.active())
        places = [(each.request.episode, each.request.kind) for each in held]
        assert len(places) == len(set(places))
        assert not self.released & {each.request.action_id for each in held}
        for each in self.actions.known.values():
            if each.request.kind in BY_PERSON and each.end is not None:
                assert each.end.how in ("released", "replaced", "refused")


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30)
