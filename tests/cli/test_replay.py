"""Does `mts replay` do as a user expects, also after Ctrl-C?"""

import json
import signal
import subprocess
import sys

import pytest
from support import PATIENCE_SECONDS, eventually_blocking, run_blocking

from operations import config
from operations.adapters import accounts, credentials
from operations.cli import replay
from operations.config import Nats, Settings
from operations.errors import Rejected

pytestmark = pytest.mark.integration


def command(*arguments):
    program = "from operations.cli.app import main; main()"
    return [sys.executable, "-c", program, "replay", *map(str, arguments)]


def environment(server):
    settings = {"MTS_HOME": server.settings.home, "MTS_NATS_PORT": str(server.settings.nats.port)}
    return config.subprocess_environment(settings)


def run(server, *arguments):
    return subprocess.run(
        command(*arguments),
        env=environment(server),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def recording(folder, count, pause_after=None):
    """A file of events of one moment, or with an hour of recorded time after so many."""
    path = folder / "events.jsonl"
    lines = (
        json.dumps(
            {
                "subject": "mts.v1.news.feed.beat",
                "timestamp": f"2026-11-20T{12 + (n >= (pause_after or count))}:00:00Z",
                "payload": {"event_id": f"id-{n}"},
            }
        )
        for n in range(count)
    )
    path.write_text("\n".join(lines) + "\n")
    return path


def stored(server):
    async def messages():
        client = await server.connect()
        try:
            info = await client.jetstream().stream_info(accounts.STREAM)
            return info.state.messages
        finally:
            await client.close()

    return run_blocking(messages())


def test_a_recording_arrives_with_the_credentials_of_the_fleet(nats_server, tmp_path):
    path = recording(tmp_path, 2000)
    done = run(nats_server, path, "--speed", "max", "--output", "json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["events"], result["lines"], result["duplicates"]) == (2000, 2000, 0)
    assert stored(nats_server) == 2000
    again = run(nats_server, path)
    assert "2000 of them were in the stream already" in again.stdout
    assert "replayed to its end" in run(nats_server, path, "--resume").stdout
    assert stored(nats_server) == 2000


def test_ctrl_c_says_where_it_stopped_and_resume_goes_on(nats_server, tmp_path):
    path = recording(tmp_path, 1000, pause_after=100)
    with subprocess.Popen(
        command(path, "--speed", "1"),
        env=environment(nats_server),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            eventually_blocking(lambda: stored(nats_server) > 50)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            process.kill()
    assert process.returncode == replay.INTERRUPTED, said
    assert "go on with: mts replay" in said
    before = stored(nats_server)
    assert 50 < before <= 100
    done = run(nats_server, path, "--resume", "--output", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["duplicates"] == 0
    assert stored(nats_server) == 1000


def test_a_wrong_line_is_an_exit_code_and_its_number(nats_server, tmp_path):
    path = recording(tmp_path, 3)
    path.write_text(path.read_text() + "wrong\n")
    done = run(nats_server, path)
    assert done.returncode == 1
    assert "line 4 of" in done.stderr
    assert "Traceback" not in done.stderr
    done = run(nats_server, path, "--skip-invalid")
    assert done.returncode == 0
    assert "1 lines are no events and were skipped" in done.stdout


def test_no_server_is_an_exit_code_and_a_reason(nats_server, tmp_path):
    nats_server.kill()
    done = run(nats_server, recording(tmp_path, 3))
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr


@pytest.mark.parametrize("speed", ["0", "-1", "fast", "nan", "inf"])
def test_a_speed_that_is_none_is_refused(nats_server, tmp_path, speed):
    done = run(nats_server, recording(tmp_path, 1), f"--speed={speed}")
    assert done.returncode == 1
    assert "neither max nor a number above 0" in done.stderr


def test_settings_go_before_the_credentials_of_the_fleet(tmp_path):
    mine = Settings(home=str(tmp_path), nats=Nats(url="nats://x:1", user="oms", password="p"))
    found = replay.access(mine)
    assert (found.url, found.user, found.password) == ("nats://x:1", "oms", "p")
    with pytest.raises(Rejected, match="nats-publisher"):
        replay.access(Settings(home=str(tmp_path)))
    credentials.ensure_secret(credentials.nats_secret_file(mine, "publisher"))
    assert replay.access(Settings(home=str(tmp_path))).user == "publisher"
