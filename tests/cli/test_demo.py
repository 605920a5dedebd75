"""Does the demonstration do what it says, and leave nothing behind however it ends?"""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import PATIENCE_SECONDS

from operations.cli import demo
from operations.config import subprocess_environment
from operations.simulation.order_flow import OMS_IDS
from workers import WORKERS
from workers.servers import running_with

pytestmark = pytest.mark.integration
MTS = Path(sys.executable).with_name("mts")


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [MTS, "demo", *arguments],
        env=subprocess_environment({}) | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def home_in(said: str) -> Path:
    found = re.search(r"/\S+/mts-demo-\w+", said)
    assert found, said
    return Path(found.group())


def assert_nothing_is_left(home: Path) -> None:
    assert not home.exists()

    def belongs(process) -> bool:
        return process.environ().get("MTS_HOME") == str(home) or any(
            str(home) in word for word in process.cmdline()
        )

    assert running_with(belongs) == []


def test_order_systems_of_the_demonstration_have_ports_that_no_worker_has():
    assert len(WORKERS) < demo.FLOOR_PORT <= demo.MOST_PARTS - len(OMS_IDS)


def test_the_demonstration_proves_a_log_and_finds_every_change_to_its_copies() -> None:
    process = start("--events", "1500", "--seed", "3")
    said, _ = process.communicate(timeout=2 * PATIENCE_SECONDS)
    assert process.returncode == 0, said
    verified = re.search(r"✓ (\d+) entries, chain integrity OK, no gaps", said)
    # The day and the genesis; beside them minutes and what is measured.
    assert verified, said
    assert 1501 <= int(verified[1]) <= 1501 + 100
    assert "trading.order.submitted" in said
    assert re.search(
        r"strategy north-trend halted: 3/3 OMS blocking, [\d.]+/[\d.]+/[\d.]+ ms", said
    )
    assert re.search(r"firm halted: 3/3 OMS blocking, [\d.]+/[\d.]+/[\d.]+ ms", said)
    assert said.count("later there are no more orders of") == 4
    assert "✓ lifted: 1 halt" in said
    assert (
        len(re.findall(r"entry \d+ +operations.halt.requested +by halt +[0-9a-f]{64}", said)) == 2
    )
    for change in ("edit", "deletion", "rewrite", "truncation"):
        assert f"✗ {change} at sequence" in said
    assert "Every step did what it says" in said
    assert_nothing_is_left(home_in(said))


@contextmanager
def publishing() -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Run a demonstration that publishes for long; gives it and its folder."""
    process = start("--events", "200000")
    assert process.stdout
    lines = iter(process.stdout.readline, "")
    said = next(line for line in lines if "/var/tmp/" in line)
    said += next(line for line in lines if line.startswith("2  Publish"))
    try:
        yield process, home_in(said)
    finally:
        process.stdout.close()
        process.terminate()
        process.wait(PATIENCE_SECONDS)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demonstration_that_is_interrupted_leaves_nothing_behind(number: int) -> None:
    with publishing() as (process, home):
        process.send_signal(number)
        rest, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130, rest
    assert "Every step did what it says" not in rest
    assert_nothing_is_left(home)


def test_a_demonstration_that_is_interrupted_while_nobody_reads_it_leaves_nothing_behind() -> None:
    with publishing() as (process, home):
        assert process.stdout
        process.stdout.close()
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_SECONDS)
    assert_nothing_is_left(home)


def test_a_demonstration_whose_servers_do_not_start_fails_and_cleans_up(tmp_path: Path) -> None:
    fake = tmp_path / "sitecustomize.py"
    fake.write_text("import sys\nif sys.argv[-1:] == ['up']:\n    raise SystemExit(9)\n")
    process = start("--events", "1500", PYTHONPATH=str(tmp_path))
    said, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1, said
    assert "`mts start` ended with exit code 1, not 0" in said
    assert_nothing_is_left(home_in(said))


def test_too_few_events_are_refused_before_anything_starts() -> None:
    process = start("--events", "10")
    said, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    assert "at least 1000 events" in said
