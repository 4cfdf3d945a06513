"""Preparing on a Ray cluster: CPU tasks read clips, actors of Ray Data, one a GPU, make whole shards of them.

The functions are those of one machine, so the shards have the same bytes. Source and output lie on storage that all
machines see.
"""

from __future__ import annotations

import os
import pickle
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from videojam.data.prepare.job import PrepareJob
from videojam.data.prepare.pixels import read_tasks, shard_maker
from videojam.data.prepare.plan import Shard
from videojam.data.prepare.request import PrepareRequest
from videojam.data.prepare.texts import lacks_texts, text_maker
from videojam.data.prepared import NULL_NAME
from videojam.data.read import MeasureTask, measure_clip
from videojam.data.workers import MAX_DEATHS, WorkerConfig, attempt, deadly, endless
from videojam.errors import VideoJamError
from videojam.optional import from_extra

AHEAD = 2
"""Tasks of each CPU that run or wait to be taken."""
Task = tuple[Shard | None, list[MeasureTask]]
"""A shard and the clips that are read for it; None: only the null text is made."""


def ray_library() -> Any:
    """Return the library, connected to the cluster of `RAY_ADDRESS`, or to one of its own on this machine.

    Raises:
        VideoJamError: it isn't installed.
    """
    package, without = "Ray with its data library", "use --engine processes"
    with from_extra(package, "videojam[ray]", "--engine ray", without):
        import ray
        import ray.data  # noqa: F401 - so that a part that is missing is said here
    if not ray.is_initialized():
        ray.init(address=os.environ.get("RAY_ADDRESS"), log_to_driver=False, include_dashboard=False)
    return ray


def in_ray(function: Callable[[Any], Any], tasks: Sequence[Any], config: WorkerConfig) -> Iterator[Any]:
    """Yield a function's result for each task, in the order of the tasks; or the error of a task that failed.

    A task whose worker dies is tried once more, anywhere. Its time counts from when the tasks before it are done.

    Args:
        function: Of a module.
        tasks: What can be pickled; `str(task)` names it in errors.
        config: The time limit.

    Raises:
        VideoJamError: the cluster can't run tasks, as where a worker lacks the package.
    """
    ray = ray_library()
    remote = ray.remote(num_cpus=1, max_retries=0)(attempt)
    most = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
    waiting: deque[Any] = deque()
    submitted = 0
    for task in tasks:
        while submitted < len(tasks) and len(waiting) < most:
            waiting.append(remote.remote(function, tasks[submitted]))
            submitted += 1
        result = _result(ray, waiting.popleft(), task, config)
        for _ in range(MAX_DEATHS - 1):
            if result is None:
                result = _result(ray, remote.remote(function, task), task, config)
        yield deadly(task) if result is None else result


def _result(ray: Any, reference: Any, task: Any, config: WorkerConfig) -> Any:
    """Return what a task gives; None where its worker died.

    Raises:
        VideoJamError: the cluster can't run it.
    """
    try:
        return ray.get(reference, timeout=config.time_limit_s)
    except ray.exceptions.GetTimeoutError:
        ray.cancel(reference, force=True)
        return endless(task, config)
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError):
        return None
    except ray.exceptions.RayError as error:  # of the cluster, not of the clip
        raise _cause(error, "tasks that read clips") from error


def encode_on_ray(job: PrepareJob) -> None:
    """Encode the captions of all shards, then their clips, on the actors of a cluster.

    Raises:
        VideoJamError: Ray is missing, or what stopped an actor.
    """
    request = job.request
    lacking: list[Task] = [(shard, []) for shard in job.shards if lacks_texts(request, shard)]
    if lacking or not (request.out / NULL_NAME).is_file():
        job.say(f"encoding captions with {request.base} on Ray")
        for _ in _over_shards(MakeTexts, job, lacking or [(None, [])]):
            pass
    tasks = [(shard, read_tasks(request.settings, shard, job.places)) for shard in job.shards]
    total, done = sum(len(clips) for _, clips in tasks), 0
    job.say(f"encoding {total} clips with {request.base} on Ray")
    for num_clips in _over_shards(MakeShards, job, tasks):
        done += num_clips
        job.progress(done, total)


class MakeTexts:
    """An actor that encodes the captions of shards.

    Args:
        request: What is prepared, pickled.
        facts: All that decides the shards.
    """

    def __init__(self, request: bytes, facts: dict[str, Any]) -> None:
        self._stack = ExitStack()
        self._maker = self._stack.enter_context(text_maker(_here(request)))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Encode the captions of one shard."""
        shard, _ = pickle.loads(batch["task"][0])  # of this program's own making
        self._maker.make_null()
        if shard is not None:
            self._maker.make(shard)
        return {"num_clips": [0]}


class MakeShards:
    """An actor that makes shards of clips that tasks on CPUs read.

    Args:
        request: What is prepared, pickled.
        facts: All that decides the shards.
    """

    def __init__(self, request: bytes, facts: dict[str, Any]) -> None:
        self._stack = ExitStack()
        self._request = _here(request)
        self._maker = self._stack.enter_context(shard_maker(self._request, facts))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Make one shard."""
        shard, tasks = pickle.loads(batch["task"][0])
        self._maker.make(shard, in_ray(measure_clip, tasks, self._request.workers))
        return {"num_clips": [len(tasks)]}


def _over_shards(actor: type, job: PrepareJob, tasks: Sequence[Task]) -> Iterator[int]:
    """Yield the number of clips of each shard that an actor has done.

    Raises:
        VideoJamError: what stopped an actor.
    """
    ray = ray_library()
    resources = ray.cluster_resources()
    has_gpu = job.request.device.startswith("cuda")
    most = max(1, int(resources.get("GPU", 1))) if has_gpu else 1
    rows = ray.data.from_items(
        [{"task": pickle.dumps(task)} for task in tasks], override_num_blocks=len(tasks)
    )
    done = rows.map_batches(
        actor,
        fn_constructor_kwargs={"request": pickle.dumps(job.request), "facts": job.facts},
        batch_size=1,
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(most, len(tasks))),
        num_cpus=0,  # the CPUs are those of the tasks that read
        num_gpus=1 if has_gpu else 0,
    )
    try:
        for row in done.iter_rows():
            yield int(row["num_clips"])
    except ray.exceptions.RayError as error:
        raise _cause(error, "actors that make shards") from error


def _cause(error: BaseException | None, expected: str) -> BaseException:
    """Return the error of ours that stopped the work, or what Ray says of it."""
    first = error
    while error is not None:
        if isinstance(error, VideoJamError):
            return error
        error = getattr(error, "cause", None) or error.__cause__
    return VideoJamError(
        expected=expected,
        found=str(first).strip().splitlines()[-1],
        where="Ray",
        fix="Look into Ray's logs; every machine needs this version of videojam. Then run the same command again: "
        "finished shards are kept.",
    )


def _here(request: bytes) -> PrepareRequest:
    loaded: PrepareRequest = pickle.loads(request)
    return loaded
