"""Preparing on a real local Ray cluster gives the shards of one process; run by name with -m slow."""

from __future__ import annotations

import faulthandler
import os
import sys
from pathlib import Path

import pytest
import torch

from videojam.data.prepare.folder import prepare_folder
from videojam.data.prepare.on_ray import in_ray, ray_library
from videojam.data.prepare.request import PrepareRequest
from videojam.data.settings import ClipSettings, PrepareSettings, parse_bucket
from videojam.data.workers import WorkerConfig
from videojam.errors import VideoJamError
from videojam.motion.code import MotionCode
from videojam.motion.video import write_video

LONGEST_S = 900
LIMIT_S = 120.0
"""For a task that ends; the time counts the start of its worker, which imports torch."""


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(VideoJamError, match=r'pip install "videojam\[ray\]", or use --engine processes'):
        ray_library()


@pytest.fixture(scope="module")
def cluster():
    """A cluster on this machine; its workers would give way to every other process.

    The tests of this file take two to three minutes on two busy cores. A run that hangs ends after
    LONGEST_S and says where.
    """
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's own spelling
    ray = pytest.importorskip("ray")
    faulthandler.dump_traceback_later(LONGEST_S, exit=True)
    ray.init(num_cpus=2, object_store_memory=200_000_000, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()
    faulthandler.cancel_dump_traceback_later()


def deadly_work():
    """Return a function of no module, which Ray sends to workers that can't import the tests."""

    def work(mark: str) -> str:
        import os
        import time
        from pathlib import Path

        if mark == "hang":
            time.sleep(600)
        if mark == "die" or (mark.startswith("once") and not Path(mark[5:]).exists()):
            if mark != "die":
                Path(mark[5:]).touch()
            os.abort()
        return mark.upper()

    return work


@pytest.mark.slow
def test_a_worker_that_dies_is_retried_and_a_clip_that_kills_two_is_set_aside(cluster, tmp_path):
    once = f"once:{tmp_path / 'mark'}"
    results = list(in_ray(deadly_work(), ["a", "die", once, "b"], WorkerConfig(time_limit_s=LIMIT_S)))
    assert results[0] == "A"
    assert "ended its process 2 times" in str(results[1])
    assert results[2:] == [once.upper(), "B"]
    (endless,) = in_ray(deadly_work(), ["hang"], WorkerConfig(time_limit_s=2.0))
    assert "no end after 2 s" in str(endless)


@pytest.mark.slow
def test_a_worker_without_our_code_stops_the_run(cluster):
    """It is no fault of the clip, which must not be listed for it."""

    def work(mark: str) -> str:
        return mark

    class Missing:
        def __reduce__(self):
            return (__import__, ("no_such_package",))

    with pytest.raises(VideoJamError, match="no_such_package"):
        list(in_ray(work, [Missing()], WorkerConfig(time_limit_s=LIMIT_S)))


@pytest.mark.slow
def test_a_cluster_makes_the_same_bytes_as_one_process_and_goes_on_where_it_was_stopped(
    cluster, tmp_path, tiny_wan
):
    generator = torch.Generator().manual_seed(0)
    for i in range(5):
        texture = (torch.rand(3, 32, 32, generator=generator) * 255).byte()
        frames = torch.stack([texture.roll(step * (i + 1), 2) for step in range(5)])
        write_video(tmp_path / "clips" / f"{i}.mp4", frames, 8)
        (tmp_path / "clips" / f"{i}.txt").write_text(f"clip {i}")
    (tmp_path / "clips" / "bad.mp4").write_bytes(b"no video")
    (tmp_path / "clips" / "bad.txt").write_text("x")
    settings = PrepareSettings(
        clips=ClipSettings(buckets=(parse_bucket("5x32x32"),), fps=8),
        motion=MotionCode(estimator="dis", scale=0.1),
        max_sequence_length=16,
        clips_per_shard=2,
    )

    def prepare(out: Path, engine: str) -> int:
        request = PrepareRequest(tmp_path / "clips", out, str(tiny_wan), settings, engine=engine)
        report = prepare_folder(
            request, lambda done, total: seen.append((done, total)), say=lambda line: None
        )
        assert list(report.left_out) == ["bad.mp4"]
        return report.num_clips

    seen: list[tuple[int, int]] = []
    assert prepare(tmp_path / "one", "processes") == prepare(tmp_path / "ray", "ray") == 5
    assert seen[-1] == (5, 5)
    one, many = (
        {path.name: path.read_bytes() for path in (tmp_path / out).iterdir()} for out in ("one", "ray")
    )
    assert one == many
    next((tmp_path / "ray").glob("shard-00001-*")).unlink()
    assert prepare(tmp_path / "ray", "ray") == 5
    assert {path.name: path.read_bytes() for path in (tmp_path / "ray").iterdir()} == one
