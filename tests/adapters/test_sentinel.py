"""The file HALT: that it exists is enough, and what cannot be seen counts as there."""

import os
import queue

import pytest
from support import PATIENCE_SECONDS

from operations.adapters.sentinel import Sentinel, look

pytestmark = pytest.mark.unit


def test_without_a_file_nothing_is_said(tmp_path):
    assert look(tmp_path) is None


def test_an_empty_file_stops_and_its_text_is_the_reason(tmp_path):
    (tmp_path / "HALT").touch()
    assert look(tmp_path) == "the file HALT exists"
    (tmp_path / "HALT").write_text("wrong prices\n")
    assert look(tmp_path) == "wrong prices"


@pytest.mark.parametrize("kind", ["folder", "dangling link", "pipe", "bytes"])
def test_whatever_is_named_halt_stops(tmp_path, kind):
    place = tmp_path / "HALT"
    if kind == "folder":
        place.mkdir()
    elif kind == "dangling link":
        place.symlink_to(tmp_path / "nowhere")
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.write_bytes(b"\xff\x00\xfe")
    assert look(tmp_path)


def test_a_folder_that_cannot_be_read_stops(tmp_path):
    assert "cannot be read" in (look(tmp_path / "gone") or "")


def test_it_looks_at_once_and_then_again_and_again_in_its_own_thread(tmp_path):
    seen: queue.Queue[str | None] = queue.Queue()
    sentinel = Sentinel(tmp_path, seen.put)
    sentinel.start()
    try:
        assert seen.get(timeout=PATIENCE_SECONDS) is None
        (tmp_path / "HALT").touch()
        while seen.get(timeout=PATIENCE_SECONDS) is None:
            pass
        (tmp_path / "HALT").unlink()
        while seen.get(timeout=PATIENCE_SECONDS) is not None:
            pass
    finally:
        sentinel.stop()
