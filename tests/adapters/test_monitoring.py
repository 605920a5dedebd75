"""Do the rules and the dashboard name what the processes export, and does Prometheus take them?"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from support import PATIENCE_SECONDS

from operations import watchdogs
from operations.adapters import monitoring

pytestmark = pytest.mark.unit
ROOT = Path(__file__).resolve().parents[2]
SOURCE = "\n".join(
    file.read_text()
    for file in (*ROOT.glob("workers/*.py"), *ROOT.glob("operations/adapters/*.py"))
)
WORDS = {
    "histogram_quantile", "rate", "changes", "time", "watchdog", "state", "__name__",
}  # fmt: skip


def expressions():
    return [rule.expression for rule in monitoring.rules()] + [
        target["expr"]
        for panel in json.loads(monitoring.dashboard())["panels"]
        for target in panel["targets"]
    ]


@pytest.mark.parametrize("name", monitoring.documents())
def test_the_files_are_those_made_from_the_source(name):
    text = monitoring.documents()[name]
    assert (ROOT / "deploy" / name).read_text() == text, "run make contract"


def test_every_watchdog_has_its_rules_and_its_panel():
    text = monitoring.rules_file()
    titles = [panel["title"] for panel in json.loads(monitoring.dashboard())["panels"]]
    for each in watchdogs.ALL:
        assert text.count(f'watchdog=\\"{each.name}\\"') == 3
        assert each.name in titles


@pytest.mark.parametrize("expression", expressions())
def test_every_metric_is_exported_by_a_process(expression):
    bare = re.sub(r'"[^"]*"', "", expression)
    for name in set(re.findall(r"[a-z_]{4,}", bare)) - WORDS:
        exported = re.sub(r"(_bucket|_total)$", "", name)
        prefixed = exported.removeprefix("measure_")
        assert f'"{exported}"' in SOURCE or f'gauge("{prefixed}"' in SOURCE, (
            f"nobody exports {name}"
        )


def test_every_rule_leads_to_a_runbook_that_exists():
    for rule in monitoring.rules():
        assert (ROOT / monitoring.RUNBOOKS / f"{rule.runbook}.md").exists(), rule


def test_the_rules_are_yaml_with_one_name_each():
    made = yaml.safe_load(monitoring.rules_file())["groups"][0]["rules"]
    names = [rule["alert"] for rule in made]
    assert len(set(names)) == len(names) == len(list(monitoring.rules()))
    assert {rule["labels"]["severity"] for rule in made} == {"critical", "warning"}


@pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool: apt package prometheus")
def test_prometheus_itself_takes_the_rules():
    file = ROOT / "deploy" / monitoring.RULES
    done = subprocess.run(
        ["promtool", "check", "rules", file],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(list(monitoring.rules()))} rules found" in done.stdout
