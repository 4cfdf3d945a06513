"""Work on many files in processes of their own; one that hangs or kills its process is set aside."""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver as forkserver
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from types import ModuleType
from typing import Any, TypeVar

from videojam.errors import VideoJamError

Task = TypeVar("Task")
Result = TypeVar("Result")

MAX_DEATHS = 2
"""How often a task may kill its process before it is set aside."""


@dataclass(frozen=True)
class WorkerConfig:
    """How work is spread.

    Attributes:
        num_workers: Processes; 0: this one, without a time limit.
        time_limit_s: Longest time for one task.
        ahead: Finished tasks of each worker that may wait to be taken.
    """

    num_workers: int = 0
    time_limit_s: float = 300.0
    ahead: int = 2


Run = Callable[[Callable[[Any], Any], Sequence[Any], WorkerConfig], Iterator[Any]]
"""What applies a function to tasks in order: `in_workers`, or its like on a cluster."""


def in_workers(
    function: Callable[[Task], Result], tasks: Sequence[Task], config: WorkerConfig
) -> Generator[Result | VideoJamError, None, None]:
    """Yield a function's result for each task, in the order of the tasks; or the error of a task that failed.

    Args:
        function: Of a module, so that it can be sent to a process.
        tasks: What can be pickled; `str(task)` names it in errors.
        config: How many processes, and the time limit.
    """
    if config.num_workers == 0:
        for task in tasks:
            yield attempt(function, task)
        return
    pool = _Pool(function, tasks, config)
    try:
        yield from pool.results()
    finally:
        pool.close()


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    is_ready: bool = False
    task: int | None = None
    since: float = 0.0


@dataclass
class _Pool:
    """Processes that are fed one task each, and replaced when they die or take too long."""

    function: Callable[[Any], Any]
    tasks: Sequence[Any]
    config: WorkerConfig
    workers: list[_Worker] = field(default_factory=list)
    done: dict[int, Any] = field(default_factory=dict)
    deaths: dict[int, int] = field(default_factory=dict)

    def results(self) -> Iterator[Any]:
        """Yield the results in order."""
        waiting = deque(range(len(self.tasks)))
        for number in range(len(self.tasks)):
            while number not in self.done:
                self._feed(waiting, number)
                self._collect(waiting)
            yield self.done.pop(number)

    def close(self) -> None:
        """End all processes."""
        for worker in self.workers:
            worker.pipe.close()
            worker.process.kill()
            worker.process.join()
        self.workers.clear()

    def _feed(self, waiting: deque[int], wanted: int) -> None:
        """Give each idle worker a task, but none too far ahead of the one that is wanted."""
        num = min(self.config.num_workers, len(waiting) + sum(w.task is not None for w in self.workers))
        while len(self.workers) < num:
            self.workers.append(_started(self.function))
        limit = wanted + self.config.num_workers * (1 + self.config.ahead)
        for worker in self.workers:
            if worker.is_ready and worker.task is None and waiting and waiting[0] < limit:
                worker.task, worker.since = waiting.popleft(), time.monotonic()
                worker.pipe.send(self.tasks[worker.task])

    def _collect(self, waiting: deque[int]) -> None:
        """Wait until a worker is ready, answers, dies, or has used up its time."""
        busy = [worker for worker in self.workers if worker.task is not None or not worker.is_ready]
        since = [worker.since for worker in busy if worker.task is not None]
        left_s = min(since) + self.config.time_limit_s - time.monotonic() if since else None
        wait([worker.pipe for worker in busy], timeout=None if left_s is None else max(0.0, left_s))
        for worker in busy:
            if worker.pipe.poll():
                self._take(worker, waiting)
            elif worker.task is not None and time.monotonic() - worker.since > self.config.time_limit_s:
                self.done[worker.task] = endless(self.tasks[worker.task], self.config)
                self._replace(worker)

    def _take(self, worker: _Worker, waiting: deque[int]) -> None:
        """Take what a worker sent: that it is ready, or a result."""
        try:
            answer = worker.pipe.recv()
        except (EOFError, OSError):
            if worker.task is None:
                raise VideoJamError(
                    expected="processes that read files",
                    found="one that ended while it started",
                    where="workers",
                    fix="Take fewer, or 0 to read in this process (--workers 0); where a script of yours calls "
                    "this, put the call below `if __name__ == '__main__':`.",
                ) from None
            self._bury(worker, waiting)
            return
        if worker.task is None:
            worker.is_ready = True
        else:
            self.done[worker.task] = answer
            worker.task = None

    def _bury(self, worker: _Worker, waiting: deque[int]) -> None:
        """Try the task of a dead worker once more; set it aside when it kills the second one too."""
        number = worker.task
        assert number is not None
        self.deaths[number] = self.deaths.get(number, 0) + 1
        if self.deaths[number] < MAX_DEATHS:
            waiting.appendleft(number)
        else:
            self.done[number] = deadly(self.tasks[number])
        self._replace(worker)

    def _replace(self, worker: _Worker) -> None:
        worker.pipe.close()
        worker.process.kill()
        worker.process.join()
        self.workers.remove(worker)


def start_ahead(config: WorkerConfig) -> None:
    """Begin to start the process that workers are forked from: it imports for seconds while this one goes on.

    Args:
        config: Says whether there will be workers.
    """
    if config.num_workers:
        _context()
        with _hidden_script():
            forkserver.ensure_running()


def _context() -> Any:
    """Return what starts workers: not as forks of this process, whose threads and accelerator a copy would break."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["videojam.data.read"])
    return context


def _started(function: Callable[[Any], Any]) -> _Worker:
    context = _context()
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(function, there), daemon=True)
    with _hidden_script():
        process.start()
    there.close()
    return _Worker(process, here)


@contextmanager
def _hidden_script() -> Iterator[None]:
    """Hide the script that runs from a process that starts: it would run it again, for nothing."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _serve(function: Callable[[Any], Any], pipe: Connection) -> None:
    """Answer tasks until the pipe is closed, as it is when the parent ends in any way."""
    import signal

    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    torch.set_num_threads(1)
    pipe.send(None)  # ready: the time of a task doesn't count the start
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        result = attempt(function, task)
        try:
            pipe.send(result)
        except OSError:
            return


def attempt(function: Callable[[Any], Any], task: Any) -> Any:
    """Return what a function makes of a task, or the error that says why it failed."""
    try:
        return function(task)
    except VideoJamError as error:
        return error
    except Exception as error:  # whatever a broken file makes a library raise is a reason, and no crash
        return given_up(task, f"{type(error).__name__}: {error}", "Encode the clip again, or leave it out.")


def given_up(task: Any, found: str, fix: str) -> VideoJamError:
    """Return the error of a task that is set aside.

    Args:
        task: `str(task)` names it.
        found: What happened.
        fix: What to do.
    """
    return VideoJamError(expected="a clip that can be read", found=found, where=str(task), fix=fix)


def deadly(task: Any) -> VideoJamError:
    """Return the error of a task that killed its process as often as it may."""
    found = f"it ended its process {MAX_DEATHS} times (a crash of the decoder, or no memory)"
    return given_up(task, found, "Encode the clip again, or leave it out.")


def endless(task: Any, config: WorkerConfig) -> VideoJamError:
    """Return the error of a task that took longer than it may."""
    found = f"no end after {config.time_limit_s:g} s"
    return given_up(task, found, "Encode the clip again, raise the time limit, or leave it out.")
