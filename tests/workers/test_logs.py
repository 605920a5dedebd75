"""Does every line end up in a file that is found easily and never fills the disk?"""

import io
import json
import logging

import pytest

from operations.config import Settings
from operations.process_settings import Log
from workers import logs

pytestmark = pytest.mark.integration


@pytest.fixture
def logging_restored():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_our_lines_and_those_of_libraries_are_json_with_the_same_fields(logging_restored):
    stream = io.StringIO()
    logs.configure(Log(format="json"), stream)
    logs.logger("audit").info("sealed", entries=3)
    logging.getLogger("asyncio").error("task failed")
    ours, theirs = map(json.loads, stream.getvalue().splitlines())
    assert (ours["event"], ours["worker"], ours["entries"]) == ("sealed", "audit", 3)
    assert theirs["event"] == "task failed"
    assert (ours["level"], theirs["level"]) == ("info", "error")
    assert ours.keys() >= {"timestamp"} <= theirs.keys()


@pytest.mark.parametrize("shape", ["console", "json"])
def test_a_traceback_shows_no_values_because_settings_hold_passwords(logging_restored, shape):
    stream = io.StringIO()
    logs.configure(Log(format=shape), stream)
    password = f"{'open'} sesame"  # the source line itself is shown
    try:
        {}[len(password)]
    except KeyError as error:
        logs.logger("audit").critical("failed", exc_info=error)
    assert "KeyError" in stream.getvalue()
    assert "test_logs.py" in stream.getvalue()
    assert "open sesame" not in stream.getvalue()


def test_less_important_lines_are_left_out(logging_restored):
    stream = io.StringIO()
    logs.configure(Log(level="warning"), stream)
    logs.logger("audit").info("quiet")
    logs.logger("audit").warning("loud")
    assert "quiet" not in stream.getvalue()
    assert "loud" in stream.getvalue()


def test_a_new_start_moves_the_older_log_away_and_keeps_the_newest_few(tmp_path, capsys):
    for second in range(5):
        (tmp_path / f"srv_20200101_00_00_0{second}.log").touch()
    log = logs.FleetLog(Settings(home=str(tmp_path), log=Log(keep=2)))
    log.say("starting")
    log.say("a line", "audit")
    log.close()
    assert list(tmp_path.glob("srv_*.log")) == [log.path]
    kept = sorted(file.name for file in (tmp_path / "logs").iterdir())
    assert kept == ["srv_20200101_00_00_03.log", "srv_20200101_00_00_04.log"]
    first, second = log.path.read_text().splitlines()
    assert first.startswith("fleet      | 20")
    assert second == "audit      | a line"
    assert capsys.readouterr().out == "starting\naudit      | a line\n"


def test_a_full_log_is_followed_by_a_new_one(tmp_path, monkeypatch, capsys):
    log = logs.FleetLog(Settings(home=str(tmp_path), log=Log(max_mb=0)))
    first = log.path
    monkeypatch.setattr(logs, "_name_now", lambda: "srv_29990101_00_00_00.log")
    log.say("the last line of the first file")
    log.close()
    assert log.path.name == "srv_29990101_00_00_00.log"
    assert (tmp_path / "logs" / first.name).read_text().endswith("first file\n")
