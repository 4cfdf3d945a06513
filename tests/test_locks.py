"""An output folder is held by one process; the second is refused by the name of the first."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from videojam.errors import VideoJamError
from videojam.locks import locked

HOLD = (
    "import sys, time\n"
    "from pathlib import Path\n"
    "from videojam.locks import locked\n"
    "with locked(Path(sys.argv[1])):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(60)\n"
)


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "out"], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_refused_by_host_and_pid(tmp_path, holder):
    """A11."""
    with pytest.raises(VideoJamError) as refused, locked(tmp_path / "out"):
        pass
    assert f"process {holder.pid} on host {socket.gethostname()}" in refused.value.found
    assert str(tmp_path / "out") == refused.value.where
    with locked(tmp_path / "out", "rank-1"):  # another name, another lock
        pass


def test_what_a_killed_process_left_is_taken_over(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    lock = tmp_path / "out" / ".videojam-run.lock"
    assert json.loads(lock.read_text())["pid"] == holder.pid
    with locked(tmp_path / "out"):
        assert json.loads(lock.read_text())["pid"] == os.getpid()
    assert not lock.exists()


def test_a_lock_of_another_host_is_explained(tmp_path):
    lock = tmp_path / ".videojam-run.lock"
    lock.write_text(json.dumps({"host": "node-17", "pid": 4711, "since": time.time()}))
    with pytest.raises(VideoJamError) as refused, locked(tmp_path):
        pass
    assert "process 4711 on host node-17" in refused.value.found
    assert "remove .videojam-run.lock" in refused.value.fix
    assert lock.exists()


@pytest.mark.parametrize("content", ["", "{", "[1]", "null"])
def test_a_torn_lock_file_that_nobody_holds_is_taken_over(tmp_path, content):
    (tmp_path / ".videojam-run.lock").write_text(content)
    with locked(tmp_path):
        pass


def test_twice_in_one_process(tmp_path):
    with locked(tmp_path), pytest.raises(VideoJamError, match=str(os.getpid())), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_a_folder_made_for_nothing_is_removed(tmp_path):
    with pytest.raises(KeyboardInterrupt), locked(tmp_path / "a" / "b"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "clip.mp4").write_text("kept")
    assert (tmp_path / "a" / "b" / "clip.mp4").exists()


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(VideoJamError, match="out"), locked(tmp_path / "out"):
        pass


def test_a_name_that_is_too_long_is_refused(tmp_path):
    with pytest.raises(VideoJamError, match="File name too long"), locked(tmp_path / ("x" * 300)):
        pass
