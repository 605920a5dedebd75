"""What compliance says: rules that changed and orders that broke them."""

from typing import Annotated, Literal

from operations.events.base import Currency, Data, Event, Id, Money, doc
from operations.events.findings import Parameter


class Rule(Data, frozen=True, kw_only=True):
    """A rule on an account or a group of accounts."""

    rule_id: Annotated[Id, doc("Id of the rule.")]
    version: Annotated[int, doc("Counts the changes of this rule, from 1.")]
    entry_id: Annotated[Id, doc("Account or group that it belongs to.")]
    schema: Annotated[str, doc("Name of the kind of rule.")]
    state: Annotated[
        Literal["ACTIVE", "PASSIVE", "DISABLED", "DELETED"],
        doc("Reject, only record, ignore, or gone."),
    ]
    parameters: Annotated[tuple[Parameter, ...], doc("Parameters of the schema.")] = ()
    reason: Annotated[str, doc("Why it changed.")]


class RuleCreated(Event, frozen=True, kw_only=True):
    """A rule exists from now on."""

    pattern = "mts.v1.operations.rule.created"
    data: Rule


class RuleUpdated(Event, frozen=True, kw_only=True):
    """A rule changed; the data are the new ones."""

    pattern = "mts.v1.operations.rule.updated"
    data: Rule


class RuleDeleted(Event, frozen=True, kw_only=True):
    """A rule is gone."""

    pattern = "mts.v1.operations.rule.deleted"
    data: Rule


class Violation(Data, frozen=True, kw_only=True):
    """An order that broke a rule."""

    rule_id: Annotated[Id, doc("Rule that was broken.")]
    rule_version: Annotated[int, doc("Version of the rule.")]
    outcome: Annotated[Literal["rejected", "recorded"], doc("Whether the order was stopped.")]
    details: Annotated[str, doc("What was wrong, with the values.")]
    inputs_sha256: Annotated[str | None, doc("SHA-256 of what was judged, hexadecimal.")] = None
    notional: Annotated[Money | None, doc("Size of the order, in `currency`.")] = None
    currency: Annotated[Currency | None, doc("Currency of the notional.")] = None


class ViolationRecorded(Event, frozen=True, kw_only=True):
    """A rule was broken."""

    pattern = "mts.v1.operations.violation.recorded"
    data: Violation
