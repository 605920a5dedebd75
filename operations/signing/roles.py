"""Who may do what: the one table of roles and rights, and the NATS patterns made from it.

A right is a pattern of what a role may sign. A command that concerns a level is judged as its
subject with that level at the end (`mts.v1.operations.command.resume.fund`), so that a role may
resume a fund and not the firm. Stopping is open to many and lifting to few, on separate duties:
nobody lifts a firm halt alone, and an admin may ask for that lift but never complete one.
Who brings a roster needs no right: it proves itself by the signature of the root key.
"""

import re
from collections.abc import Iterable
from typing import Literal, get_args

from msgspec import Struct

from operations.errors import Rejected
from operations.events.halts import Level

Person = Literal["viewer", "trader", "risk_manager", "compliance_officer", "admin", "auditor"]
PEOPLE: tuple[Person, ...] = get_args(Person)

COMMAND = "mts.v1.operations.command"
FINDING = "mts.v1.operations.finding"
HALT = "mts.v1.operations.halt"
ACTION = "mts.v1.operations.action"

# What a halt worker decides; acknowledgements belong to the order systems.
DECISIONS = (
    "requested", "activated", "resume_requested", "cosigned", "resume_denied", "lifted",
)  # fmt: skip
# The checks that the limits worker asks; each other check has a key of its own.
LIMIT_CHECKS = ("drawdown", "daily_loss", "drift_zscore", "news_aggregate", "limits")
# The checks of the watchdogs, and what they find about the data that all of them need.
WATCHDOG_CHECKS = (
    "predictive_health", "drift_monitor", "vpin", "news_spike", "position_anomaly",
    "db_watchdog", "strategy_watchdog", "theta_watchdog", "dependency_watchdog",
    "portfolio_vol_dd", "data_fault",
)  # fmt: skip
HALT_CHECK = "halt"  # what a halt worker finds: refused commands, missing acknowledgements

SERVICES: dict[str, tuple[str, ...]] = {
    "halt_worker": (
        *(f"{HALT}.{decision}" for decision in DECISIONS),
        "ops.v1.halt.heartbeat",
        f"{FINDING}.{HALT_CHECK}.*",
    ),
    "limits": tuple(f"{FINDING}.{check}.*" for check in LIMIT_CHECKS),
    "watchdogs": (
        f"{ACTION}.requested",
        *(f"{FINDING}.{check}.*" for check in WATCHDOG_CHECKS),
        "mts.v1.operations.warehouse.measured",
        "mts.v1.operations.watch.reached",
        "mts.v1.operations.clock.ticked",
        "ops.v1.watchdogs.board",
    ),
    # What people, files and Vault set counts once this service has checked it and said so.
    "settings": ("mts.v1.operations.config.changed", f"{FINDING}.settings.*"),
    "actions": (f"{ACTION}.expired", f"{ACTION}.released", f"{FINDING}.actions.*"),
    "evidence": (f"{HALT}.documented", f"{FINDING}.evidence.*"),
    "canary": ("mts.v1.operations.canary.passed", f"{FINDING}.canary.*"),
    "measure": (
        "mts.v1.operations.service.polled",
        "mts.v1.operations.database.measured",
        "mts.v1.operations.database.maintained",
        f"{FINDING}.measure.*",
    ),
}
# Roles of which each owner has its own, as `check.audit` or `oms.oms-1`: one owner per subject.
OWNED: dict[str, tuple[str, ...]] = {
    "check": (f"{FINDING}.{{owner}}.*",),
    "oms": (
        f"{HALT}.acknowledged.{{owner}}",
        f"{ACTION}.answered.{{owner}}",
        "ops.v1.oms.lease.{owner}",
        f"{FINDING}.oms_{{owner}}.*",
    ),
}
_OWNER = re.compile(r"[0-9A-Za-z_-]{1,60}")


class Action(Struct, frozen=True, kw_only=True):
    """One thing that people do: in words, the subject that is judged, and the roles that may."""

    what: str
    right: str
    roles: frozenset[Person]


def _action(what: str, right: str, *roles: Person) -> Action:
    return Action(what=what, right=f"{COMMAND}.{right}", roles=frozenset(roles))


# A trader may stop strategies and, as anybody who sees the firm in danger, the firm.
ACTIONS: tuple[Action, ...] = (
    _action(
        "halt a strategy",
        "halt.strategy",
        "trader",
        "risk_manager",
        "compliance_officer",
        "admin",
    ),
    _action("halt a fund", "halt.fund", "risk_manager", "compliance_officer", "admin"),
    _action("halt the firm", "halt.firm", "trader", "risk_manager", "compliance_officer", "admin"),
    _action(
        "cancel orders of a strategy",
        "cancel_all.strategy",
        "trader",
        "risk_manager",
        "compliance_officer",
        "admin",
    ),
    _action(
        "cancel orders of a fund", "cancel_all.fund", "risk_manager", "compliance_officer", "admin"
    ),
    _action("cancel all orders", "cancel_all.firm", "risk_manager", "compliance_officer", "admin"),
    _action("flatten paper funds", "flatten", "risk_manager", "compliance_officer"),
    _action("resume a strategy", "resume.strategy", "risk_manager", "compliance_officer", "admin"),
    _action("resume a fund", "resume.fund", "risk_manager", "compliance_officer"),
    _action("ask to resume the firm", "resume.firm", "risk_manager", "compliance_officer", "admin"),
    _action("cosign that, as another", "cosign.firm", "risk_manager", "compliance_officer"),
    _action("run a drill", "drill", "risk_manager", "compliance_officer", "admin"),
    _action("end an action", "release_action", "risk_manager", "compliance_officer"),
    _action(
        "set a check to act",
        "set_mode.tighten",
        "trader",
        "risk_manager",
        "compliance_officer",
        "admin",
    ),
    _action("let a check act no more", "set_mode.loosen", "risk_manager", "compliance_officer"),
    _action(
        "tighten a setting",
        "configure.tighten",
        "trader",
        "risk_manager",
        "compliance_officer",
        "admin",
    ),
    _action("loosen a setting", "configure.loosen", "risk_manager", "compliance_officer"),
    _action("adopt a stream", "adopt_stream", "auditor"),
    _action(
        "acknowledge an alert",
        "acknowledge",
        "trader",
        "risk_manager",
        "compliance_officer",
        "admin",
    ),
    _action("close an alert", "close_alert", "risk_manager", "compliance_officer", "admin"),
    _action("silence findings", "silence", "risk_manager", "compliance_officer", "admin"),
)


def right_at(subject: str, level: Level) -> str:
    """Return what a role must cover to sign a command on a subject that concerns a level."""
    return f"{subject}.{level.removesuffix('_HALT').lower()}"


def right_to_set(subject: str, *, loosens: bool) -> str:
    """Return what a role must cover to sign a command that changes a setting."""
    return f"{subject}.{'loosen' if loosens else 'tighten'}"


def rights_of(role: str) -> tuple[str, ...]:
    """Return the patterns of what a role may sign; a role of an owner reads `check.<name>`.

    Raises Rejected for a role that does not exist, and for an owner who would sign what belongs
    to a service.
    """
    if role in PEOPLE:
        return tuple(action.right for action in ACTIONS if role in action.roles)
    if role in SERVICES:
        return SERVICES[role]
    kind, dot, owner = role.partition(".")
    if not dot or kind not in OWNED or not _OWNER.fullmatch(owner):
        known = ", ".join((*PEOPLE, *SERVICES, *(f"{each}.<name>" for each in OWNED)))
        raise Rejected(f"there is no role {role!r}; there are {known}")
    rights = tuple(pattern.format(owner=owner) for pattern in OWNED[kind])
    taken = {right for service in SERVICES.values() for right in service}
    if kind == "check" and (taken & set(rights) or owner.startswith("oms_")):
        raise Rejected(f"the findings of {owner!r} belong to a service; name the check otherwise")
    return rights


def roster_roles(wanted: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the part `roles` of a roster: every role of people, and the wanted other ones."""
    return {role: rights_of(role) for role in (*PEOPLE, *sorted(set(wanted) - {*PEOPLE}))}
