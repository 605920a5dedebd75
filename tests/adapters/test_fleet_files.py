"""Is it always known which process is the fleet, also after it died badly?"""

import subprocess
import sys

import pytest
from support import eventually_blocking

from operations.adapters import fleet_files
from operations.config import Settings

pytestmark = pytest.mark.integration

HOLD = """
import sys
from operations.adapters import fleet_files
from operations.config import Settings
held = fleet_files.take(Settings(home=sys.argv[1]))
print("held" if held else "refused", flush=True)
sys.stdin.read()
"""


def hold(home) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def test_one_process_at_a_time_is_the_fleet(tmp_path):
    settings = Settings(home=str(tmp_path))
    assert fleet_files.holder(settings) is None
    with hold(tmp_path) as first:
        assert first.stdout.readline() == b"held\n"
        assert fleet_files.holder(settings).pid == first.pid
        assert fleet_files.take(settings) is None
        first.stdin.close()
    assert fleet_files.holder(settings) is None


def test_a_fleet_that_was_killed_is_not_running_although_its_file_is_there(tmp_path):
    settings = Settings(home=str(tmp_path))
    with hold(tmp_path) as first:
        first.stdout.readline()
        first.kill()
    eventually_blocking(lambda: fleet_files.holder(settings) is None)
    assert fleet_files.pid_file(settings).exists()
    held = fleet_files.take(settings)
    assert held is not None
    held.close()


def test_the_newest_log_is_the_one_of_the_newest_start(tmp_path):
    settings = Settings(home=str(tmp_path))
    assert fleet_files.newest_log(settings) is None
    for name in ("srv_20261120_20_00_00.log", "srv_20261120_19_59_59.log"):
        (tmp_path / name).touch()
    assert fleet_files.newest_log(settings).name == "srv_20261120_20_00_00.log"
