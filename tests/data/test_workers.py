"""A task that hangs, crashes or fails is set aside by name, and the others keep their order."""

from __future__ import annotations

import importlib
import multiprocessing
import sys
import time
from collections import deque
from pathlib import Path

import pytest

from videojam.data import workers
from videojam.data.workers import WorkerConfig, in_workers
from videojam.errors import VideoJamError

MODULE = """
import os, time
from pathlib import Path
from videojam.errors import VideoJamError

def work(task):
    kind, _, rest = task.partition(":")
    if kind == "hang":
        time.sleep(600)
    if kind == "die" or (kind == "die once" and not Path(rest).exists()):
        if rest:
            Path(rest).touch()
        os.abort()
    if kind == "refuse":
        raise VideoJamError(expected="this", found="that", where=task, fix="Do it.")
    if kind == "break":
        raise KeyError("odd")
    return task.upper()
"""


def test_a_process_that_ends_while_it_starts_is_an_error_with_a_way_out():
    here, there = multiprocessing.Pipe()
    there.close()
    with pytest.raises(VideoJamError, match="--workers 0"):
        workers._Pool(str, ["a"], WorkerConfig(1))._take(workers._Worker(None, here), deque())


@pytest.fixture
def work(tmp_path, monkeypatch):
    (tmp_path / "videojam_test_work.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("videojam_test_work", None)
    return importlib.import_module("videojam_test_work").work


@pytest.mark.parametrize("num_workers", [0, 2])
def test_results_come_in_order_and_errors_in_their_place(work, num_workers):
    tasks = ["a", "refuse", "b", "break", *(f"c{i}" for i in range(20))]
    results = list(in_workers(work, tasks, WorkerConfig(num_workers)))
    assert [r for r in results if isinstance(r, str)] == [
        t.upper() for t in tasks if t not in ("refuse", "break")
    ]
    assert (results[1].expected, results[1].fix) == ("this", "Do it.")
    assert "KeyError: 'odd'" in str(results[3])


def test_a_task_that_hangs_or_kills_its_process_is_set_aside_and_one_death_is_forgiven(work, tmp_path):
    mark = tmp_path / "mark"
    tasks = ["a", "die", f"die once:{mark}", "hang", "b"]
    started = time.monotonic()
    results = list(in_workers(work, tasks, WorkerConfig(2, time_limit_s=2.0)))
    assert results[0] == "A"
    assert "ended its process 2 times" in str(results[1])
    assert results[2] == tasks[2].upper()
    assert "no end after 2 s" in str(results[3])
    assert results[4] == "B"
    assert time.monotonic() - started < 300


def test_an_iteration_that_is_left_ends_its_processes(work):
    results = in_workers(work, ["a", "b", "c"], WorkerConfig(2))
    assert next(results) == "A"
    results.close()
    assert not any(
        Path(f"/proc/{child.pid}").exists() for child in __import__("multiprocessing").active_children()
    )


def test_a_script_is_not_run_again_by_its_workers(work, tmp_path, monkeypatch):
    """Also one without `if __name__ == "__main__"`, which would start workers from its workers."""
    script, mark = tmp_path / "script.py", tmp_path / "ran"
    script.write_text(f"open({str(mark)!r}, 'w')")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(script), raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None, raising=False)
    assert list(in_workers(work, ["a", "b"], WorkerConfig(2))) == ["A", "B"]
    assert not mark.exists()
    assert sys.modules["__main__"].__file__ == str(script)


def test_an_error_keeps_its_parts_between_processes():
    import pickle

    error = VideoJamError(expected="a", found="b", where="c", fix="d")
    again = pickle.loads(pickle.dumps(error))
    assert (again.expected, again.found, again.where, again.fix, str(again)) == (
        "a",
        "b",
        "c",
        "d",
        str(error),
    )
