"""Every setting, with its unit, its default and what it does; the only reader of the environment.

Layers, the later wins: defaults, `<home>/settings.toml`, the environment. A setting `port` in
section `nats` is `[nats] port` in the file and `MTS_NATS_PORT` in the environment. Unknown keys
are refused in both, so a typo never silently means the default. What concerns checks is kept as it
stands: the limits of funds have layers of their own (docs/configuration.md).
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, get_args, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct, field

from operations.alert_settings import (
    KNOWN_NAMES,
    Alerts,
    Apprise,
    Email,
    Notion,
    Pagerduty,
    Slack,
    Telegram,
    Webhook,
)
from operations.errors import Rejected
from operations.process_settings import Http, Images, Log, Measure, Paper
from operations.sections import Section
from operations.sections import doc as _doc

PREFIX = "MTS_"
_ENUM = re.compile("Invalid enum value '.*'", re.DOTALL)
WATCHDOGS = "MTS_WATCHDOGS_"  # settings of checks: MTS_WATCHDOGS_VPIN_HIGH


def default_home() -> str:
    """Where data lies when MTS_HOME says nothing: the system's place for root, else the user's."""
    if os.geteuid() == 0:
        return "/var/lib/mts1b-operations"
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return str(Path(state) / "mts1b-operations")


class Nats(Section, frozen=True, kw_only=True):
    """The message bus."""

    # The stream that captures mts.v1.>. Part of the contract, like the subjects: rights name it.
    stream: ClassVar[str] = "MTS"

    url: Annotated[str, _doc("Server to use; empty starts the embedded one on `port`.")] = ""
    user: Annotated[str, _doc("User name of this process.")] = ""
    password: Annotated[str, _doc("Password of this process.")] = ""
    password_file: Annotated[str, _doc("File that holds the password, mode 0600.")] = ""
    inbox: Annotated[str, _doc("Inbox prefix of this process; empty means _INBOX_<user>.")] = ""
    ca_file: Annotated[str, _doc("Certificate authority for TLS; empty means no TLS.")] = ""
    port: Annotated[int, _doc("TCP port of the embedded server, on 127.0.0.1.")] = 14222
    monitor_port: Annotated[int, _doc("Monitoring port of the embedded server.")] = 18222
    monitor_url: Annotated[
        str, _doc("Monitoring page of an external server, to prove sync_interval: always.")
    ] = ""
    max_age_days: Annotated[
        int, _doc("Days the stream keeps events; 0 keeps all, so the log can be rebuilt.")
    ] = 0
    admin_user: Annotated[str, _doc("External server: user that may create the stream.")] = ""
    admin_password_file: Annotated[str, _doc("External server: that user's password file.")] = ""


class Postgres(Section, frozen=True, kw_only=True):
    """The database of the log."""

    dsn: Annotated[
        str,
        _doc("postgres:// address of this process; empty starts the embedded server on `port`."),
    ] = ""
    password_file: Annotated[str, _doc("File that holds the password, mode 0600.")] = ""
    admin_dsn: Annotated[
        str, _doc("External server: address of a role that may create roles and the schema.")
    ] = ""
    port: Annotated[int, _doc("TCP port of the embedded server, on 127.0.0.1.")] = 15432
    database: Annotated[str, _doc("Database name.")] = "mts"


class Audit(Section, frozen=True, kw_only=True):
    """The audit log."""

    origin: Annotated[
        str, _doc("Name of the log, signed into every checkpoint; never changes.")
    ] = "mts.local/audit"
    public_key_file: Annotated[
        str, _doc("Public key of the log; empty means <home>/keys/audit.vkey.")
    ] = ""
    signing_key_file: Annotated[
        str, _doc("Signing key, read by the checkpoint worker only; empty means <home>/keys/.")
    ] = ""
    roster_file: Annotated[
        str, _doc("Signed roster of people and keys; empty means <home>/keys/roster.json.")
    ] = ""
    root_key_file: Annotated[
        str, _doc("Public key that signs rosters; empty means <home>/keys/root.vkey.")
    ] = ""
    checkpoint_dir: Annotated[
        str, _doc("Memory and append-only file of the signer; empty means <home>/checkpoints.")
    ] = ""
    checkpoint_seconds: Annotated[float, _doc("Time between checkpoints while growing.")] = 1.0
    idle_seconds: Annotated[float, _doc("Time between checkpoints while idle.")] = 3600.0


class Halt(Section, frozen=True, kw_only=True):
    """Halts: the halt worker and what it decides by."""

    instance: Annotated[
        int, _doc("Number of this halt worker, 1 or 2; each reads through a consumer of its own.")
    ] = 1
    journal_dir: Annotated[
        str, _doc("Decided halts that the stream may lack; empty means <home>/halts.")
    ] = ""
    freeze_halts: Annotated[
        bool, _doc("Whether the firm is halted REDUCE_ONLY while the stream stores nothing.")
    ] = True
    frozen_seconds: Annotated[
        float, _doc("How long the stream may store nothing before freeze_halts acts.")
    ] = 10.0
    order_systems: Annotated[
        str, _doc("Ids of the order systems that have to acknowledge, with commas between.")
    ] = "oms-1,oms-2,oms-3"
    reduce_only: Annotated[
        str,
        _doc(
            "Automatic halts that still let orders pass that only reduce: strategy, fund, firm, or "
            "strategy:FUND and fund:FUND for one fund, with commas between; the others block all."
        ),
    ] = ""


class Watch(Section, frozen=True, kw_only=True):
    """A watchdog process: which watchdogs it runs, and for whom."""

    instance: Annotated[
        int, _doc("Number of this watchdog process, 1 to 4; each reads through its own consumer.")
    ] = 1
    only: Annotated[
        str, _doc("Names of the watchdogs that it runs, with commas between; empty means all.")
    ] = ""
    funds: Annotated[str, _doc("Funds that it watches, with commas between; empty means all.")] = ""
    snapshot_seconds: Annotated[
        float, _doc("Time between snapshots of its tables, from which a start goes on.")
    ] = 300.0
    dir: Annotated[str, _doc("Snapshots, newest roster; empty means <home>/watch/<instance>.")] = ""


class Vault(Section, frozen=True, kw_only=True):
    """Vault or OpenBao, where settings of funds are kept there; see docs/configuration.md."""

    url: Annotated[str, _doc("Address, as https://vault:8200; empty means that there is none.")] = (
        ""
    )
    mount: Annotated[str, _doc("Mount of the KV version 2 engine.")] = "secret"
    path: Annotated[
        str, _doc("Path on it below which `firm` and `funds/FUND` hold CHECK.FIELD = value.")
    ] = "mts"
    namespace: Annotated[str, _doc("Namespace; empty where there are none.")] = ""
    ca_file: Annotated[str, _doc("Certificate authority of its address; empty: the system's.")] = ""
    token_file: Annotated[str, _doc("File with a token, read again whenever it is refused.")] = ""
    role_id: Annotated[str, _doc("AppRole to log in as, instead of a token file.")] = ""
    secret_id_file: Annotated[str, _doc("File with the secret id of that role, mode 0600.")] = ""
    poll_seconds: Annotated[float, _doc("Time between two looks.")] = 5.0
    timeout_seconds: Annotated[float, _doc("Longest wait for one answer.")] = 5.0


class Watchdogs(Struct, frozen=True, kw_only=True):
    """What the file and the environment say about checks, as it stands there.

    Which checks and limits exist is known above this layer: `operations/settings` reads it.
    """

    file: dict[str, Any] = {}
    environment: dict[str, str] = {}


class Settings(Section, frozen=True, kw_only=True):
    """All settings of one process."""

    home: Annotated[str, _doc("Data folder: databases, keys, secrets, logs.")] = field(
        default_factory=default_home
    )
    environment: Annotated[
        str, _doc("Name signed into every command, so that none is valid elsewhere.")
    ] = "development"
    service_key_file: Annotated[
        str, _doc("Key this process signs its findings with; empty means it signs none.")
    ] = ""
    person_key_file: Annotated[
        str, _doc("Key that people sign commands with; empty means <home>/keys/operator.key.")
    ] = ""
    stop_seconds: Annotated[float, _doc("How long `mts stop` asks before it kills.")] = 300.0
    nats: Nats = Nats()
    postgres: Postgres = Postgres()
    audit: Audit = Audit()
    halt: Halt = Halt()
    watch: Watch = Watch()
    paper: Paper = Paper()
    measure: Measure = Measure()
    vault: Vault = Vault()
    http: Http = Http()
    log: Log = Log()
    images: Images = Images()
    watchdogs: Watchdogs = Watchdogs()
    alerts: Alerts = Alerts()
    telegram: Telegram = Telegram()
    slack: Slack = Slack()
    pagerduty: Pagerduty = Pagerduty()
    email: Email = Email()
    webhook: Webhook = Webhook()
    notion: Notion = Notion()
    apprise: Apprise = Apprise()

    def path(self, *parts: str) -> Path:
        """Return a place below the data folder."""
        return Path(self.home, *parts)

    @property
    def public_key_path(self) -> Path:
        """Where the public key of the log is."""
        return Path(self.audit.public_key_file or self.path("keys", "audit.vkey"))

    @property
    def signing_key_path(self) -> Path:
        """Where the signing key of the log is."""
        return Path(self.audit.signing_key_file or self.path("keys", "audit.key"))

    @property
    def service_key_path(self) -> Path:
        """Where the key is that this process signs its findings with."""
        return Path(self.service_key_file)

    @property
    def person_key_path(self) -> Path:
        """Where the key is that the person at this computer signs commands with."""
        return Path(self.person_key_file or self.path("keys", "operator.key"))

    @property
    def roster_path(self) -> Path:
        """Where the roster of people and keys is."""
        return Path(self.audit.roster_file or self.path("keys", "roster.json"))

    @property
    def root_key_path(self) -> Path:
        """Where the public key is that every roster must be signed with."""
        return Path(self.audit.root_key_file or self.path("keys", "root.vkey"))

    @property
    def checkpoint_path(self) -> Path:
        """Where the signer keeps its memory and the append-only file of checkpoints."""
        return Path(self.audit.checkpoint_dir or self.path("checkpoints"))

    @property
    def halt_journal_path(self) -> Path:
        """Where the halt worker keeps what it decided until the stream has it."""
        return Path(self.halt.journal_dir or self.path("halts"))

    @property
    def watch_path(self) -> Path:
        """Where a watchdog process keeps its snapshots and the newest roster."""
        return Path(self.watch.dir or self.path("watch", str(self.watch.instance)))

    @property
    def paper_path(self) -> Path:
        """Where a paper order system keeps its tape and its memory."""
        return Path(self.paper.dir or self.path("paper", self.paper.oms_id))


class Setting(NamedTuple):
    """One setting as the documentation and `mts config` show it."""

    section: str
    name: str
    variable: str
    default: Any
    description: str
    secret: bool = False


def catalogue() -> Iterator[Setting]:
    """Every setting there is, in the order of the source."""
    yield from _section_settings("", Settings)


def _section_settings(section: str, struct: type[Struct]) -> Iterator[Setting]:
    hints = get_type_hints(struct, include_extras=True)
    for info in msgspec.structs.fields(struct):
        hint = hints[info.name]
        if isinstance(hint, type) and issubclass(hint, Section):
            yield from _section_settings(info.name, hint)
            continue
        if hint is Watchdogs:
            continue
        meta = next(each for each in get_args(hint) if isinstance(each, Meta))
        variable = PREFIX + "_".join(filter(None, (section, info.name))).upper()
        default = default_home() if info.name == "home" else info.default
        secret = bool((meta.extra or {}).get("secret"))
        yield Setting(section, info.name, variable, default, meta.description or "", secret)


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of this process.

    Raises Rejected with the key and the place when something is unknown or wrong.
    """
    environ = os.environ if environ is None else environ
    variables = {setting.variable: setting for setting in catalogue()}
    for name in environ:
        if name.startswith(PREFIX) and name not in variables and not name.startswith(WATCHDOGS):
            raise Rejected(f"unknown setting {name} in the environment; known are docs/settings.md")
    file = settings_file(environ)
    tree = _read_file(file)
    watchdogs = Watchdogs(
        file=_watchdogs(tree.pop("watchdogs", {}), file),
        environment={name: value for name, value in environ.items() if name.startswith(WATCHDOGS)},
    )
    known = {f"{PREFIX}{name}": environ[name] for name in KNOWN_NAMES if environ.get(name)}
    environ = known | dict(environ)
    for name, value in environ.items():
        if name in variables:
            setting = variables[name]
            place = tree.setdefault(setting.section, {}) if setting.section else tree
            place[setting.name] = value
    try:
        settings = msgspec.convert(tree, Settings, strict=False)
    except msgspec.ValidationError as error:
        # Without the value, which may be a secret in the wrong place.
        said = _ENUM.sub("none of the values it may have", str(error))
        raise Rejected(
            f"wrong setting: {said} (from the environment or {file}); docs/settings.md says what "
            "it may be"
        ) from None
    return msgspec.structs.replace(settings, watchdogs=watchdogs)


def _watchdogs(table: Any, file: Path) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise Rejected(f"[watchdogs] in {file} is {table!r} and must be a table")
    return table


def settings_file(environ: Mapping[str, str] | None = None) -> Path:
    """Return where the file of settings is, or would be."""
    environ = os.environ if environ is None else environ
    return Path(environ.get("MTS_HOME") or default_home(), "settings.toml")


def _read_file(file: Path) -> dict[str, Any]:
    try:
        text = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    try:
        return msgspec.toml.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise Rejected(f"{file} is not valid TOML: {error}") from error


def place(address: str, default_port: int) -> tuple[str, int]:
    """Return host and port of HOST or HOST:PORT; raises Rejected."""
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Rejected(f"{address!r} is not HOST or HOST:PORT: {error}") from error
    if not host or parts.path or parts.query or parts.username is not None:
        raise Rejected(f"{address!r} is not HOST or HOST:PORT")
    return host, port or default_port


def secret(value: str, file: str) -> str:
    """Return a secret given in place, or the first line of the file that holds it."""
    return value or (Path(file).read_text().strip() if file else "")


def subprocess_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with its own settings replaced by the given ones."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(PREFIX) and name not in KNOWN_NAMES
    }
    return kept | dict(settings)
