"""The durable consumers of the stream: who reads it, and which subjects each one folds."""

from collections.abc import Mapping
from typing import Any

from operations import watchdogs
from operations.adapters import accounts
from operations.events import subjects
from operations.signing import roles

# What each reader folds; subjects that overlap would be refused.
HALT_SUBJECTS = (
    "mts.v1.operations.finding.>",
    "mts.v1.operations.command.>",
    "mts.v1.operations.halt.>",
    "mts.v1.operations.roster.published",
    "mts.v1.registry.>",
)
OMS_SUBJECTS = (
    "mts.v1.operations.command.>",
    "mts.v1.operations.halt.>",
    "mts.v1.operations.action.>",
    "mts.v1.operations.roster.published",
    "mts.v1.registry.>",
)
LIMIT_SUBJECTS = (
    "mts.v1.registry.fund.registered",
    "mts.v1.registry.strategy.registered",
    "mts.v1.registry.calendar.published",
    "mts.v1.portfolio.nav.marked",
    "mts.v1.strategy.forecast.scored",
    "mts.v1.strategy.baseline.published",
    "mts.v1.trading.position.snapshotted",
    "mts.v1.news.>",
    "mts.v1.operations.clock.ticked",
    "mts.v1.operations.roster.published",
    "mts.v1.operations.halt.requested",
    "mts.v1.operations.halt.lifted",
    *(f"mts.v1.operations.finding.{check}.*" for check in roles.LIMIT_CHECKS),
)
WATCHDOG_SUBJECTS = tuple(
    sorted(
        {subjects.wildcard(kind) for watchdog in watchdogs.ALL for kind in watchdog.kinds}
        | {
            "mts.v1.operations.clock.ticked",
            "mts.v1.operations.config.changed",
            "mts.v1.operations.roster.published",
            "mts.v1.operations.action.requested",
            "mts.v1.operations.watch.reached",
        }
        | {f"mts.v1.operations.finding.{check}.*" for check in roles.WATCHDOG_CHECKS}
    )
)
MEASURE_SUBJECTS = (
    "mts.v1.registry.service.*",
    "mts.v1.operations.finding.db_watchdog.*",
    "mts.v1.operations.database.maintained",
    "mts.v1.operations.roster.published",
)
NOTIFICATION_SUBJECTS = (
    *HALT_SUBJECTS[:-1],
    "mts.v1.registry.fund.registered",
    "mts.v1.registry.strategy.registered",
    "mts.v1.registry.calendar.published",
)
SETTINGS_SUBJECTS = (
    "mts.v1.operations.command.configure",
    "mts.v1.operations.command.set_mode",
    "mts.v1.operations.config.changed",
    "mts.v1.operations.finding.settings.*",
    "mts.v1.operations.roster.published",
    "mts.v1.registry.fund.registered",
)
ACTION_SUBJECTS = (
    "mts.v1.operations.action.>",
    "mts.v1.operations.command.release_action",
    "mts.v1.operations.finding.actions.*",
    "mts.v1.operations.roster.published",
)
ALL: tuple[Mapping[str, Any], ...] = (
    {"durable_name": "audit", "ack_policy": "all"},
    {"durable_name": "checkpoint", "ack_policy": "all"},
    {"durable_name": accounts.REBUILD, "ack_policy": "none"},
    *(
        {"durable_name": name, "ack_policy": "none", "filter_subjects": list(HALT_SUBJECTS)}
        for name in accounts.HALT_CONSUMERS
    ),
    *(
        {"durable_name": name, "ack_policy": "none", "filter_subjects": list(OMS_SUBJECTS)}
        for name in accounts.OMS
    ),
    {
        "durable_name": accounts.LIMITS,
        "ack_policy": "none",
        "filter_subjects": list(LIMIT_SUBJECTS),
    },
    *(
        {"durable_name": name, "ack_policy": "none", "filter_subjects": list(WATCHDOG_SUBJECTS)}
        for name in accounts.WATCHDOG_CONSUMERS
    ),
    {
        "durable_name": accounts.SETTINGS,
        "ack_policy": "none",
        "filter_subjects": list(SETTINGS_SUBJECTS),
    },
    {
        "durable_name": accounts.ACTIONS,
        "ack_policy": "none",
        "filter_subjects": list(ACTION_SUBJECTS),
    },
    {
        "durable_name": accounts.NOTIFICATIONS,
        "ack_policy": "none",
        "filter_subjects": list(NOTIFICATION_SUBJECTS),
    },
    {
        "durable_name": accounts.MEASURE,
        "ack_policy": "none",
        "filter_subjects": list(MEASURE_SUBJECTS),
    },
)
