"""Who may say and hear what on NATS: the one table, and the server configuration made from it.

Every user hears only its own inbox; whatever else it may do is listed here and nowhere else.
These rights are the second line. The first is that everything that moves the operations plane is
signed, because any user can name a foreign subject as its reply and the server answers there.
"""

import json
from collections.abc import Callable, Mapping

from msgspec import Struct

from operations import watchdogs
from operations.config import Nats
from operations.events import subjects
from operations.events.operations import DatabaseMeasured, ServicePolled, WarehouseMeasured
from operations.signing import roles

ADMIN = "admin"
STREAM = Nats.stream
REBUILD = "rebuild"
LIMITS = "limits"
WATCHDOGS = "watchdogs"
MEASURE = "measure"
CANARY = "canary"
MEASURED = {DatabaseMeasured, ServicePolled, WarehouseMeasured}
# Watchdog processes share a user and a key; each reads through a consumer of its own.
WATCHDOG_CONSUMERS = ("watchdogs-1", "watchdogs-2", "watchdogs-3", "watchdogs-4")
NOTIFICATIONS = "notifications"
SETTINGS = "settings"
# The bucket of NATS KV with what people set, made of a stream whose messages nobody can take away.
SETTINGS_BUCKET = "settings"
SETTINGS_STREAM = f"KV_{SETTINGS_BUCKET}"
SETTINGS_KEYS = f"$KV.{SETTINGS_BUCKET}"
ACTIONS = "actions"
# Halt workers share a user and a key; each reads through a consumer of its own.
HALT = "halt"
HALT_CONSUMERS = ("halt-1", "halt-2")
# Halt workers try every second whether the stream takes messages: a message that it must refuse,
# and one that a small stream beside it, on the same disk, keeps instead of the one before.
PROBE_REFUSED = "mts.v1.operations.canary.probe"
PROBE_STORED = "ops.v1.probe"
PROBE_STREAM = "PROBE"
# Each order system has a user, a key and a consumer, all of this name.
OMS = ("oms-1", "oms-2", "oms-3")


class User(Struct, frozen=True, kw_only=True):
    """One NATS user and its rights beyond the own inbox."""

    name: str
    publish: tuple[str, ...] = ()
    publish_denied: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()

    @property
    def inbox(self) -> str:
        """The prefix of the subjects on which this user receives replies."""
        return inbox(self.name)

    @property
    def variable(self) -> str:
        """The variable that deploy/nats.conf takes this user's password from."""
        return f"MTS_NATS_PASSWORD_{self.name.upper().replace('-', '_')}"


def inbox(user: str) -> str:
    """Return the inbox prefix of a user."""
    return f"_INBOX_{user}"


def _reader(consumer: str) -> tuple[str, ...]:
    """Return what a worker publishes to read the stream through its own durable consumer."""
    return (
        f"$JS.API.STREAM.INFO.{STREAM}",
        f"$JS.API.STREAM.MSG.GET.{STREAM}",
        f"$JS.API.CONSUMER.INFO.{STREAM}.{consumer}",
        f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{consumer}",
        f"$JS.API.CONSUMER.RESET.{STREAM}.{consumer}",
    )


def _acknowledge(consumer: str) -> tuple[str, ...]:
    """Return the subjects of acknowledgements, without and with domain and account tokens."""
    return (f"$JS.ACK.{STREAM}.{consumer}.>", f"$JS.ACK.*.*.{STREAM}.{consumer}.>")


def _order_system(name: str) -> User:
    """Return the user of an order system: it speaks about itself only, and hears every halt."""
    return User(
        name=name,
        publish=(
            *_reader(name),
            "mts.v1.trading.>",
            "mts.v1.risk.>",
            f"mts.v1.operations.halt.acknowledged.{name}",
            f"mts.v1.operations.finding.oms_{name}.*",
            f"mts.v1.operations.action.answered.{name}",
            f"ops.v1.oms.lease.{name}",
            f"ops.v1.oms.gate.{name}",
            f"ops.v1.oms.permit.{name}",
            f"{inbox(name)}.>",  # the answers of the enforcer beside it
        ),
        subscribe=(
            "mts.v1.operations.halt.>",
            "mts.v1.operations.command.>",
            "mts.v1.operations.action.>",
            "mts.v1.operations.roster.published",
            "ops.v1.>",
        ),
    )


def _canary_subjects() -> tuple[str, ...]:
    """Return what watchdogs with canaries read from trading services and measurements, no more."""
    read = {kind for each in watchdogs.ALL if each.canary for kind in each.kinds}
    own = {kind for kind in read if kind.pattern.startswith("mts.v1.operations.")} - MEASURED
    return tuple(sorted(subjects.wildcard(kind) for kind in read - own))


USERS = (
    User(name=ADMIN, publish=(">",), subscribe=(">",)),
    User(name="publisher", publish=("mts.v1.>",), publish_denied=("mts.v1.operations.>",)),
    *(_order_system(name) for name in OMS),
    User(
        name="operator",
        publish=(
            "mts.v1.operations.command.>",
            "mts.v1.operations.roster.published",
            f"$JS.API.STREAM.INFO.{STREAM}",
            f"$JS.API.CONSUMER.INFO.{STREAM}.*",
            f"$JS.API.STREAM.MSG.GET.{STREAM}",
        ),
        subscribe=("ops.v1.>", "mts.v1.operations.>"),
    ),
    User(name="auditor", publish=_reader(REBUILD), subscribe=("ops.v1.audit.checkpoint",)),
    User(
        name="audit",
        publish=(
            *_reader("audit"),
            *_acknowledge("audit"),
            "mts.v1.operations.finding.audit.>",
        ),
    ),
    User(
        name="checkpoint",
        publish=(
            *_reader("checkpoint"),
            *_acknowledge("checkpoint"),
            "ops.v1.audit.checkpoint",
            "mts.v1.operations.finding.checkpoint.>",
        ),
    ),
    User(name="projection", publish=("mts.v1.operations.finding.projection.>",)),
    User(
        name=HALT,
        publish=(
            *dict.fromkeys(right for name in HALT_CONSUMERS for right in _reader(name)),
            *(f"{roles.HALT}.{decision}" for decision in roles.DECISIONS),
            "mts.v1.operations.finding.halt.*",
            PROBE_REFUSED,
            f"{PROBE_STORED}.*",
            "ops.v1.halt.heartbeat",
        ),
        subscribe=(
            "mts.v1.operations.finding.>",
            "mts.v1.operations.command.>",
            "mts.v1.operations.halt.>",
            "mts.v1.operations.roster.published",
            "ops.v1.oms.lease.>",
        ),
    ),
    User(
        name=LIMITS,
        publish=(
            *_reader(LIMITS),
            *(f"mts.v1.operations.finding.{check}.*" for check in roles.LIMIT_CHECKS),
        ),
    ),
    User(
        name=SETTINGS,
        publish=(
            *_reader(SETTINGS),
            *roles.SERVICES["settings"],
            f"$JS.API.STREAM.INFO.{SETTINGS_STREAM}",
            f"$JS.API.STREAM.MSG.GET.{SETTINGS_STREAM}",
            f"{SETTINGS_KEYS}.>",
        ),
    ),
    User(
        name=WATCHDOGS,
        publish=(
            *dict.fromkeys(right for name in WATCHDOG_CONSUMERS for right in _reader(name)),
            *roles.SERVICES["watchdogs"],
        ),
    ),
    User(
        name=NOTIFICATIONS,
        publish=(*_reader(NOTIFICATIONS), "mts.v1.operations.finding.notifications.*"),
    ),
    User(name=ACTIONS, publish=(*_reader(ACTIONS), *roles.SERVICES["actions"])),
    User(
        name=CANARY,
        publish=(
            f"$JS.API.STREAM.MSG.GET.{STREAM}",
            *roles.SERVICES["canary"],
            *_canary_subjects(),
        ),
        subscribe=("mts.v1.operations.finding.*.raised",),
    ),
    User(name=MEASURE, publish=(*_reader(MEASURE), *roles.SERVICES["measure"])),
    User(
        name="evidence",
        publish=(
            f"$JS.API.STREAM.MSG.GET.{STREAM}",
            "mts.v1.operations.halt.documented",
            "mts.v1.operations.finding.evidence.*",
        ),
    ),
)


def render_users(password: Callable[[User], str]) -> str:
    """Write the authorization block of a server configuration; `password` returns config text."""
    return "\n".join(
        ["authorization {", "  users: ["]
        + [line for user in USERS for line in _render_user(user, password(user))]
        + ["  ]", "}", ""]
    )


def _render_user(user: User, password: str) -> list[str]:
    return [
        "    {",
        f"      user: {json.dumps(user.name)}",
        f"      password: {password}",
        "      permissions: {",
        f"        publish: {{ {_rights(user.publish, user.publish_denied)} }}",
        f"        subscribe: {{ {_rights((f'{user.inbox}.>', *user.subscribe), ())} }}",
        "      }",
        "    }",
    ]


def _rights(allowed: tuple[str, ...], denied: tuple[str, ...]) -> str:
    """Write one side; an empty list of allowed subjects would allow everything, so it denies."""
    parts = [f"allow: {json.dumps(list(allowed))}"] if allowed else ['deny: [">"]']
    if allowed and denied:
        parts.append(f"deny: {json.dumps(list(denied))}")
    return ", ".join(parts)


def embedded_configuration(
    passwords: Mapping[str, str],
    *,
    port: int,
    monitor_port: int,
    store_folder: str,
    log_file: str,
    log_megabytes: int,
    logs_kept: int,
) -> str:
    """Write the configuration of the server that the fleet starts itself, on loopback only."""
    users = render_users(lambda user: json.dumps(passwords[user.name]))
    return f"""# Written at every start; settings are in settings.toml.
server_name: "mts"
listen: "127.0.0.1:{port}"
http: "127.0.0.1:{monitor_port}"
max_payload: 1MB
log_file: {json.dumps(log_file)}
logfile_size_limit: {log_megabytes}MB
logfile_max_num: {logs_kept}
jetstream {{
  store_dir: {json.dumps(store_folder)}
  # An acknowledged event is on the disk, not in a page cache for two minutes.
  sync_interval: always
}}
{users}"""


def deployed_configuration() -> str:
    """Write deploy/nats.conf: the same users, passwords from the environment of the container."""
    users = render_users(lambda user: f"${user.variable}")
    variables = "\n".join(f"#   {user.variable}" for user in USERS)
    return f"""# Made from operations/adapters/accounts.py; a test keeps it in step.
# Start every password with a letter: the server reads a variable as configuration. Variables:
{variables}
server_name: "mts"
listen: "0.0.0.0:4222"
http: "0.0.0.0:8222"
max_payload: 1MB
jetstream {{
  store_dir: "/data/jetstream"
  # An acknowledged event is on the disk, not in a page cache for two minutes.
  sync_interval: always
}}
{users}"""
