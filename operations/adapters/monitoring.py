"""Rules for Prometheus and a dashboard for Grafana, made from what watchdogs say of themselves.

The files in deploy/ are written by `make contract`, and a test compares them: a new watchdog has
its rules and its panel as soon as it is one of `watchdogs.ALL`.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from operations import watchdogs
from operations.checks import Watchdog

RULES = "prometheus/rules.yml"
DASHBOARD = "grafana/operations.json"
RUNBOOKS = "docs/runbooks"
SOURCE = {"type": "prometheus", "uid": "${source}"}
COLUMNS, WIDTH, HEIGHT = 3, 8, 7


class Rule(NamedTuple):
    """One alert: an expression that is true while it is raised, and for how long it has to be."""

    name: str
    expression: str
    minutes: int
    severity: str
    summary: str
    runbook: str


def rules() -> Iterator[Rule]:
    """Return every rule: those of each watchdog, then those of the processes."""
    for each in watchdogs.ALL:
        yield from _of(each)
    yield Rule(
        "NotReady", "ready == 0", 2, "warning",
        "{{ $labels.job }} {{ $labels.part }} is not ready; mts status says what it lacks",
        "own_records",
    )  # fmt: skip
    yield Rule(
        "WatchdogsBehind", "watchdog_findings_waiting > 0", 2, "critical",
        "{{ $value }} findings are not in the stream: NATS takes them from no watchdog", "nats",
    )  # fmt: skip
    yield Rule(
        "WatchdogsStand", "changes(watchdog_stream_sequence[5m]) == 0", 5, "warning",
        "no event was folded for five minutes; even the minutes of the clock are missing", "nats",
    )  # fmt: skip
    yield Rule(
        "LooksSlow",
        "histogram_quantile(0.99, rate(watchdog_look_seconds_bucket[5m])) > 0.5",
        10,
        "warning",
        "a batch takes {{ $value }} s to fold and judge",
        "own_records",
    )
    yield Rule(
        "CanaryOld", "time() - canary_passed_timestamp_seconds > 90000", 5, "warning",
        "no canary has passed for more than a day", "canary",
    )  # fmt: skip
    yield Rule(
        "DatabaseNotMeasured", "measure_database_ok == 0", 5, "critical",
        "the database does not answer who measures it", "db_watchdog",
    )  # fmt: skip
    yield Rule(
        "ServicesNotPolled", "measure_unpolled_services > 0", 5, "warning",
        "{{ $value }} services are registered with an address that may not be polled",
        "dependency_watchdog",
    )  # fmt: skip
    yield Rule(
        "HaltsUnstored", "halt_unstored_events > 0", 1, "critical",
        "{{ $value }} decisions about halts are not in the stream yet", "nats",
    )  # fmt: skip


def _of(watchdog: Watchdog) -> Iterator[Rule]:
    name, camel = watchdog.name, watchdog.name.title().replace("_", "")
    yield Rule(
        f"{camel}Breached", f'watchdog_standing{{watchdog="{name}", state="breached"}} > 0', 0,
        "critical", f"{name}: {{{{ $value }}}} breached. {watchdog.why}", name,
    )  # fmt: skip
    yield Rule(
        f"{camel}Unknown", f'watchdog_standing{{watchdog="{name}", state="unknown"}} > 0', 60,
        "warning", f"{name}: {{{{ $value }}}} unknown for an hour, neither well nor ill", name,
    )  # fmt: skip
    yield Rule(
        f"{camel}Silent", f'canary_silent{{watchdog="{name}"}} > 0', 0, "warning",
        f"{name} did not find its canary", "canary",
    )  # fmt: skip


def rules_file() -> str:
    """Return deploy/prometheus/rules.yml."""
    lines = [
        "# Made by `make contract` from operations/adapters/monitoring.py and the watchdogs.",
        "groups:",
        "  - name: mts1b-operations",
        "    rules:",
    ]
    for rule in rules():
        lines += [
            f"      - alert: {rule.name}",
            f"        expr: {json.dumps(rule.expression)}",
            f"        for: {rule.minutes}m",
            f"        labels: {{severity: {rule.severity}}}",
            "        annotations:",
            f"          summary: {json.dumps(rule.summary)}",
            f"          runbook: {RUNBOOKS}/{rule.runbook}.md",
        ]
    return "\n".join(lines) + "\n"


def dashboard() -> str:
    """Return deploy/grafana/operations.json: one panel a watchdog, then those of the processes."""
    panels = [
        (each.name, each.why, f'watchdog_standing{{watchdog="{each.name}"}}', "{{state}}")
        for each in watchdogs.ALL
    ]
    panels += [
        ("ready", "1 when a part can do its work.", "ready", "{{job}} {{part}}"),
        ("looks a second", "How much is judged.", "rate(watchdog_looks_total[5m])", "{{job}}"),
        (
            "time of a look, P99", "Folding and judging a batch, in seconds.",
            "histogram_quantile(0.99, rate(watchdog_look_seconds_bucket[5m]))", "{{job}}",
        ),
        ("stream sequence", "Last event folded.", "watchdog_stream_sequence", "{{job}}"),
        ("canaries", "1: did not find its known case.", "canary_silent", "{{watchdog}}"),
        ("services", "Registered, red and not polled.", '{__name__=~"measure_.*services"}', ""),
        ("halts", "Halts that are not over.", "halts_active", "{{job}}"),
    ]  # fmt: skip
    document = {
        "title": "mts1b-operations",
        "uid": "mts1b-operations",
        "schemaVersion": 39,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "templating": {
            "list": [{"name": "source", "type": "datasource", "query": "prometheus"}],
        },
        "panels": [_panel(place, *each) for place, each in enumerate(panels)],
    }
    return json.dumps(document, indent=1) + "\n"


def _panel(place: int, title: str, words: str, expression: str, legend: str) -> dict[str, Any]:
    row, column = divmod(place, COLUMNS)
    return {
        "id": place + 1,
        "type": "timeseries",
        "title": title,
        "description": words,
        "datasource": SOURCE,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "targets": [{"refId": "A", "expr": expression, "legendFormat": legend or "__auto"}],
    }


def documents() -> dict[str, str]:
    """Return every file by its path below deploy/."""
    return {RULES: rules_file(), DASHBOARD: dashboard()}
