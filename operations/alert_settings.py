"""The settings of alerts: when people are told, and by which channels."""

from typing import Annotated, Literal

from operations.sections import NOT_NEGATIVE, POSITIVE, Section, doc, secret


class Alerts(Section, frozen=True, kw_only=True):
    """Who is told what, and when; see docs/alerts.md."""

    pagers: Annotated[
        str, doc("Channels that wake people: no observation and no exercise goes there.")
    ] = "pagerduty,telegram"
    least: Annotated[
        str, doc("Lowest severity of a channel, CHANNEL:SEVERITY with commas between; else info.")
    ] = "pagerduty:critical,telegram:warning"
    ends: Annotated[str, doc("Channels that are told when something is over.")] = (
        "pagerduty,telegram,slack,webhook"
    )
    routes: Annotated[
        str,
        doc(
            "FUND:SEVERITY=CHANNEL+CHANNEL with commas between, the first that fits decides; "
            "FUND may be firm or *. Where none fits, every channel is told."
        ),
    ] = ""
    inhibit: Annotated[
        str,
        doc(
            "CAUSE>EFFECT with commas between, checks or CHECK/SUBJECT, with * as wildcard: while "
            "the cause is raised its effects are held and listed with it. Halts are never held."
        ),
    ] = "nats>*,dependency_watchdog/nats>*"
    maintenance: Annotated[
        str, doc("Times in UTC in which only what is critical is told, as: sat 02:00-04:00, daily.")
    ] = ""
    repage_minutes: Annotated[
        float, doc("Time after which pagers ring again while nobody acknowledges."), POSITIVE
    ] = 15.0
    burst: Annotated[
        int,
        doc("Alerts that a channel tells one by one in burst_minutes; more are a digest."),
        NOT_NEGATIVE,
    ] = 5
    burst_minutes: Annotated[float, doc("Time in which burst counts."), POSITIVE] = 10.0
    digest_seconds: Annotated[
        float, doc("Least time between two digests of a channel."), NOT_NEGATIVE
    ] = 60.0
    grace_seconds: Annotated[
        float,
        doc("How long after a cause is over late effects still count as its effects."),
        NOT_NEGATIVE,
    ] = 120.0
    halt_seconds: Annotated[
        float,
        doc("How long a finding that asks for a halt waits to be told with that halt."),
        NOT_NEGATIVE,
    ] = 2.0
    outage_seconds: Annotated[
        float, doc("How long NATS may be out of reach before people are told."), NOT_NEGATIVE
    ] = 30.0
    timeout_seconds: Annotated[
        float, doc("How long a channel may take for one message."), POSITIVE
    ] = 10.0
    runbooks: Annotated[str, doc("Where runbooks lie: the beginning of the links in messages.")] = (
        "docs/runbooks"
    )
    ping_url: Annotated[
        str, secret("Called every minute while all is well; its absence pages people elsewhere.")
    ] = ""
    ping_url_file: Annotated[str, doc("File that holds ping_url, mode 0600.")] = ""
    ping_seconds: Annotated[float, doc("Time between two calls of ping_url."), POSITIVE] = 60.0


class Telegram(Section, frozen=True, kw_only=True):
    """Messages by a Telegram bot. Some settings have a second name; see docs/alerts.md."""

    enabled: Annotated[bool, doc("Whether alerts go there.")] = False
    bot_token: Annotated[str, secret("Token of the bot.")] = ""
    bot_token_file: Annotated[str, doc("File that holds the token, mode 0600.")] = ""
    chat_id: Annotated[str, doc("Chat that the bot writes to.")] = ""
    url: Annotated[str, doc("Address of the Bot API.")] = "https://api.telegram.org"


class Slack(Section, frozen=True, kw_only=True):
    """Messages to a Slack channel. Some settings have a second name; see docs/alerts.md."""

    enabled: Annotated[bool, doc("Whether alerts go there.")] = False
    webhook_url: Annotated[str, secret("Incoming webhook of the channel.")] = ""
    webhook_url_file: Annotated[str, doc("File that holds the webhook, mode 0600.")] = ""


class Pagerduty(Section, frozen=True, kw_only=True):
    """Incidents in PagerDuty. Some settings have a second name; see docs/alerts.md."""

    enabled: Annotated[bool, doc("Whether alerts go there.")] = False
    integration_key: Annotated[str, secret("Key of an Events API v2 integration.")] = ""
    integration_key_file: Annotated[str, doc("File that holds the key, mode 0600.")] = ""
    url: Annotated[str, doc("Address of the Events API.")] = (
        "https://events.pagerduty.com/v2/enqueue"
    )


class Email(Section, frozen=True, kw_only=True):
    """Messages by e-mail. Some settings have a second name; see docs/alerts.md."""

    alerts_enabled: Annotated[bool, doc("Whether alerts go there.")] = False
    smtp_host: Annotated[str, doc("Mail server.")] = ""
    smtp_port: Annotated[int, doc("Its port.")] = 587
    smtp_security: Annotated[
        Literal["starttls", "tls", "none"], doc("How the connection is encrypted.")
    ] = "starttls"
    smtp_user: Annotated[str, doc("User to log in as; empty means without login.")] = ""
    smtp_password: Annotated[str, secret("Password of that user.")] = ""
    smtp_password_file: Annotated[str, doc("File that holds the password, mode 0600.")] = ""
    sender: Annotated[str, doc("Address that messages come from; empty means smtp_user.")] = ""
    to: Annotated[str, doc("Addresses that messages go to, with commas between.")] = ""


class Webhook(Section, frozen=True, kw_only=True):
    """Signed JSON to an address of yours."""

    enabled: Annotated[bool, doc("Whether alerts go there.")] = False
    url: Annotated[str, secret("Address that messages are posted to.")] = ""
    url_file: Annotated[str, doc("File that holds the address, mode 0600.")] = ""
    key: Annotated[str, secret("Key of the HMAC-SHA256 in the header Mts-Signature-256.")] = ""
    key_file: Annotated[str, doc("File that holds the key, mode 0600.")] = ""


class Notion(Section, frozen=True, kw_only=True):
    """Pages in a Notion database."""

    enabled: Annotated[bool, doc("Whether alerts go there.")] = False
    token: Annotated[str, secret("Token of an integration.")] = ""
    token_file: Annotated[str, doc("File that holds the token, mode 0600.")] = ""
    database_id: Annotated[str, doc("Database that pages are added to.")] = ""
    title_property: Annotated[str, doc("Its title property.")] = "Name"
    url: Annotated[str, doc("Address of the API.")] = "https://api.notion.com"


class Apprise(Section, frozen=True, kw_only=True):
    """Any other service that the package apprise knows: Teams, Matrix, Signal and many more."""

    enabled: Annotated[bool, doc("Whether alerts go there.")] = False
    url: Annotated[str, secret("An apprise URL.")] = ""
    url_file: Annotated[str, doc("File that holds the URL, mode 0600.")] = ""


# Names that users know without MTS_ before them.
KNOWN_NAMES = (
    "PAGERDUTY_ENABLED", "PAGERDUTY_INTEGRATION_KEY", "SLACK_ENABLED", "SLACK_WEBHOOK_URL",
    "EMAIL_ALERTS_ENABLED", "EMAIL_SMTP_HOST", "EMAIL_SMTP_PORT", "EMAIL_SMTP_USER",
    "EMAIL_SMTP_PASSWORD", "EMAIL_TO", "TELEGRAM_ENABLED", "TELEGRAM_BOT_TOKEN",
    "TELEGRAM_CHAT_ID",
)  # fmt: skip
