"""Does `mts watch backtest` say when a watchdog would have fired, without a server?"""

import json
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest
from support import PATIENCE_SECONDS
from watching import DAY, START_NS, event

from operations import config
from operations.clock import rfc3339
from operations.events.base import encode
from operations.events.strategies import (
    ForecastScore,
    ForecastScored,
    StrategyBaseline,
    StrategyBaselinePublished,
)

pytestmark = pytest.mark.unit
DAYS = 200


def scores(name, mean):
    """A baseline around 0.03, then days around another mean; up and down in turn."""
    daily = tuple(0.13 if number % 2 else -0.07 for number in range(100))
    data = StrategyBaseline(baseline_id="b", currency="USD", daily_information_coefficients=daily)
    yield event(StrategyBaselinePublished, name, data, 0)
    for day in range(DAYS):
        score = ForecastScore(
            day=rfc3339(START_NS + day * DAY)[:10], horizon_days=1, method="spearman",
            information_coefficient=mean + (0.1 if day % 2 else -0.1), names=100,
        )  # fmt: skip
        yield event(ForecastScored, name, score, day * 86_400 + 1, strategy_id=name)


def recording(folder, *events):
    path = folder / "scores.jsonl"
    ordered = sorted(events, key=lambda one: one.timestamp)
    lines = [
        json.dumps({"subject": one.subject, "payload": json.loads(encode(one))}) for one in ordered
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def file(tmp_path):
    return recording(tmp_path, *scores("bad", -0.2), *scores("good", 0.03))


def run(folder, *arguments):
    program = "from operations.cli.app import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, "watch", "backtest", *map(str, arguments)],
        env=config.subprocess_environment({"MTS_HOME": str(folder)}),
        capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip


def test_it_says_when_it_would_have_fired_and_draws_it(tmp_path, file):
    chart = tmp_path / "chart.svg"
    arguments = ("--check", "drift_monitor", "--from", file, "--output", "json")
    done = run(tmp_path, *arguments, "--chart", chart)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [(one["what"], one["unit"]) for one in result["said"]] == [
        ("raised", "bad"), ("would ask", "bad"),
    ]  # fmt: skip
    assert result["said"][0]["at"] == rfc3339(START_NS + 139 * DAY + 10**9)
    assert (result["looks"], result["units"], result["skipped"]) == (2 * DAYS, 2, 0)
    picture = ET.fromstring(chart.read_text())
    words = {each.text for each in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert {"bad", "good", "limit", "raised (top)"} <= words
    again = run(tmp_path, *arguments)
    assert (again.returncode, again.stdout) == (0, done.stdout), again.stderr
    beside = file.with_name(f"{file.name}.drift_monitor.svg")
    assert beside.read_text() == chart.read_text()
    assert f"chart: {beside}" in again.stderr


def test_labels_give_recall_and_false_positives_with_intervals(tmp_path, file):
    end = rfc3339(START_NS + DAYS * DAY)
    early = [rfc3339(START_NS), rfc3339(START_NS + DAY)]
    missed = [rfc3339(START_NS + 50 * DAY), rfc3339(START_NS + 51 * DAY)]
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({"bad": [[rfc3339(START_NS + 100 * DAY), end], early, missed]}))
    arguments = ("--check", "drift_monitor", "--from", file, "--labels", labels)
    found = json.loads(run(tmp_path, *arguments, "--output", "json").stdout)["labels"]
    assert (found["windows"], found["found"], found["false_positives"]) == (2, 1, 0)
    assert found["too_early"] == 1
    assert found["recall_interval"] == pytest.approx([0.0945, 0.9055], abs=1e-3)
    assert found["unit_days"] == pytest.approx(2 * (DAYS - 20), abs=1)
    labels.write_text(json.dumps({"good": [missed]}))
    shown = run(tmp_path, *arguments).stdout
    assert "0 of 1 windows found" in shown
    assert "false positives per unit-day" in shown


def test_what_cannot_be_used_is_an_exit_code_and_a_reason(tmp_path, file):
    unknown = run(tmp_path, "--check", "nonsense", "--from", file)
    assert unknown.returncode == 2
    assert "known are" in unknown.stderr
    missing = run(tmp_path, "--check", "vpin", "--from", tmp_path / "none.jsonl")
    assert (missing.returncode, "cannot read" in missing.stderr) == (2, True)
    labels = tmp_path / "labels.json"
    labels.write_text("[]")
    wrong = run(tmp_path, "--check", "vpin", "--from", file, "--labels", labels)
    assert (wrong.returncode, "windows by unit" in wrong.stderr) == (2, True)
    blind = run(tmp_path, "--check", "news_spike", "--from", file)
    assert "it never looked" in blind.stderr
    file.write_text('{"subject": "mts.v1.a.b", "payload": {}}\n')
    empty = run(tmp_path, "--check", "vpin", "--from", file)
    assert (empty.returncode, "no event that is known" in empty.stderr) == (2, True)
