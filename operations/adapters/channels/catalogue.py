"""Every channel there is, and those that the settings turn on."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from operations.adapters.channels.apprise import AppriseSender
from operations.adapters.channels.email import EmailSender
from operations.adapters.channels.notion import NotionSender
from operations.adapters.channels.pagerduty import PagerdutySender
from operations.adapters.channels.sender import Sender
from operations.adapters.channels.slack import SlackSender
from operations.adapters.channels.telegram import TelegramSender
from operations.adapters.channels.webhook import WebhookSender
from operations.alert_settings import Alerts
from operations.clock import NANOSECONDS
from operations.config import Settings
from operations.errors import Rejected
from operations.notifications.episode import RANK
from operations.notifications.rules import Channel, Rules, inhibitions_of, routes_of
from operations.notifications.silences import windows_of

T = TypeVar("T")
ACKNOWLEDGING = ("pagerduty", "webhook")  # can be told that somebody looks after it


Build = Callable[[Settings, float], Sender]
BUILDS: dict[str, tuple[Callable[[Settings], bool], Build]] = {
    "telegram": (lambda s: s.telegram.enabled, lambda s, t: TelegramSender(s.telegram, t)),
    "slack": (lambda s: s.slack.enabled, lambda s, t: SlackSender(s.slack, t)),
    "pagerduty": (lambda s: s.pagerduty.enabled, lambda s, t: PagerdutySender(s.pagerduty, t)),
    "email": (lambda s: s.email.alerts_enabled, lambda s, t: EmailSender(s.email, t)),
    "webhook": (lambda s: s.webhook.enabled, lambda s, t: WebhookSender(s.webhook, t)),
    "notion": (lambda s: s.notion.enabled, lambda s, t: NotionSender(s.notion, t)),
    "apprise": (lambda s: s.apprise.enabled, lambda s, t: AppriseSender(s.apprise, t)),
}
NAMES = tuple(BUILDS)


def senders(settings: Settings) -> tuple[dict[str, Sender], dict[str, str]]:
    """Return the channels that are turned on, and why the others of them cannot be used.

    A channel with a wrong setting must not take the others with it.
    """
    made: dict[str, Sender] = {}
    problems: dict[str, str] = {}
    for name, (enabled, build) in BUILDS.items():
        if enabled(settings):
            try:
                made[name] = build(settings, settings.alerts.timeout_seconds)
            except Rejected as error:
                problems[name] = str(error)
    return made, problems


def rules(alerts: Alerts, names: Iterable[str]) -> tuple[Rules, dict[str, str]]:
    """Return what decisions are made by, for these channels, and what is wrong in which setting.

    Its default holds then: rather too many are told than nobody.
    """
    problems: dict[str, str] = {}

    def read(name: str, parse: Callable[[str], T]) -> T:
        try:
            return parse(getattr(alerts, name))
        except Rejected as error:
            problems[f"alerts.{name}"] = f"{error}; its default holds"
            return parse(getattr(Alerts(), name))

    pagers, ends, least = read("pagers", _names), read("ends", _names), read("least", _least)
    made = Rules(
        channels=tuple(
            Channel(
                name=name,
                least=least.get(name, "info"),
                pages=name in pagers,
                ends=name in ends,
                acknowledges=name in ACKNOWLEDGING,
            )
            for name in names
        ),
        routes=read("routes", lambda text: routes_of(text, frozenset(NAMES))),
        inhibitions=read("inhibit", inhibitions_of),
        maintenance=read("maintenance", windows_of),
        repage_ns=_ns(alerts.repage_minutes * 60),
        burst=alerts.burst,
        burst_ns=_ns(alerts.burst_minutes * 60),
        digest_ns=_ns(alerts.digest_seconds),
        grace_ns=_ns(alerts.grace_seconds),
        halt_wait_ns=_ns(alerts.halt_seconds),
    )
    return made, problems


def _ns(seconds: float) -> int:
    return int(seconds * NANOSECONDS)


def _names(text: str) -> frozenset[str]:
    found = frozenset(each.strip() for each in text.split(",") if each.strip())
    if strange := found - set(NAMES):
        raise Rejected(f"there is no {', '.join(sorted(strange))}; there are {', '.join(NAMES)}")
    return found


def _least(text: str) -> dict[str, str]:
    pairs = [each.strip().partition(":") for each in text.split(",") if each.strip()]
    _names(",".join(name for name, _, _ in pairs))
    for name, _, severity in pairs:
        if severity not in RANK:
            raise Rejected(f"{name}:{severity} is none of {', '.join(RANK)}")
    return {name: severity for name, _, severity in pairs}
