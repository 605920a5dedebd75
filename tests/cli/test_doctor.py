"""Does the doctor find what is wrong, and stay silent about what is right?"""

import os
import socket

import pytest

from operations.adapters import credentials
from operations.adapters.ports import free_port
from operations.cli import doctor
from operations.config import Nats, Postgres, Settings
from operations.process_settings import Http

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(
        home=str(tmp_path),
        nats=Nats(port=free_port(), monitor_port=free_port()),
        postgres=Postgres(port=free_port()),
        http=Http(port=free_port()),
    )


def found(settings: Settings) -> dict[str, doctor.Line]:
    return {line.what: line for line in doctor.examine(settings)}


def test_a_fresh_installation_has_nothing_that_fails(settings: Settings):
    failed = [line for line in found(settings).values() if line.state == "fail"]
    assert failed == []


def test_every_line_that_is_not_ok_says_what_to_do(settings: Settings):
    assert all(line.todo for line in found(settings).values() if line.state != "ok")


def test_a_port_that_a_stranger_has_is_found(settings: Settings):
    with socket.create_server(("127.0.0.1", settings.nats.port)):
        assert found(settings)["port NATS (MTS_NATS_PORT)"].state == "fail"


def test_a_secret_or_key_that_others_may_read_is_found(settings: Settings):
    file = settings.path("keys", "audit.key")
    credentials.private_folder(file.parent)
    file.write_text("secret")
    public = settings.path("keys", "audit.vkey")
    public.write_text("public")
    for each in (file, public):
        each.chmod(0o644)
    line = found(settings)["rights"]
    assert (line.state, line.todo) == ("fail", f"chmod 600 {file}")


def test_a_clock_that_went_back_is_found(settings: Settings):
    file = settings.path("srv_20991231_00_00_00.log")
    file.touch()
    os.utime(file, (4_000_000_000, 4_000_000_000))
    line = found(settings)["clock"]
    assert line.state == "fail"
    assert "went back" in line.todo


def test_a_full_disk_is_found(settings: Settings, monkeypatch):
    monkeypatch.setattr(doctor, "EMPTY_DISK_BYTES", 1 << 62)
    assert found(settings)["disk space"].state == "fail"
