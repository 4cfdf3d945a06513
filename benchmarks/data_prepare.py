"""`videojam data prepare` against the plain pipeline that a careful user would write, on a CPU with DIS.

    python benchmarks/data_prepare.py speed   [--clips 48] [--rounds 3] [--out benchmarks/results/data_prepare.json]
    python benchmarks/data_prepare.py memory  [--clips 10000] [--out benchmarks/results/data_prepare_memory.json]

speed: both arms in processes of their own, A B A B …; wall and CPU seconds a clip after the first quarter of them, so
that the start of worker processes and the loading of models are left out; those of the whole are stated too. Plain:
PyAV, resize, OpenCV's DIS pair by pair, Eq. 5 by OpenCV's HSV (the code of ours, and faster than torchvision's
flow_to_image), autoencoder clip by clip, torch.save; all with the threads that the libraries take by default. The
latents of both are compared. Then the stages of ours one by one on one thread, one worker against two, and how fast
one and two workers read and measure clips where nothing else is done.

memory: resident memory of all processes while many tiny clips are prepared.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from av.video.reformatter import Interpolation
from torch.nn import functional

from videojam.data.facts import content_hash
from videojam.data.latents import DrawnClip, encode_pixels
from videojam.data.prepare.folder import prepare_folder
from videojam.data.prepare.request import PrepareRequest
from videojam.data.prepared import shard_files
from videojam.data.read import MeasuredClip, MeasureTask, ReadTask, mean_speed, measure_clip
from videojam.data.settings import ClipSettings, PrepareSettings, parse_bucket
from videojam.data.shards import read_columns, read_tensors
from videojam.data.workers import WorkerConfig, in_workers
from videojam.files import write_text
from videojam.models.load import load_model, quiet_loading
from videojam.models.outline import loaded_encoders
from videojam.motion.code import MotionCode
from videojam.motion.estimators import DisFlow, RaftFlow
from videojam.motion.video import read_video, write_video

ACCURATE = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
"""Without these, FFmpeg's scaler takes a short cut: colours of the nearest pixel, all a level too dark."""
Clock = Callable[[], None]
"""Called when a clip is done."""
BASE = "tiny:base"
BUCKET = parse_bucket("17x192x320")
FPS, SOURCE_PX = 16, (360, 640)
CODE = MotionCode(estimator="dis", scale=0.1)
SETTINGS = PrepareSettings(clips=ClipSettings(buckets=(BUCKET,), fps=FPS), motion=CODE)


def write_clips(folder: Path, num_clips: int, size: tuple[int, int], num_frames: int) -> None:
    """Textures that pan by a few px a frame, each another one."""
    for i in range(num_clips):
        generator = torch.Generator().manual_seed(i)
        small = torch.rand(1, 3, max(2, size[0] // 12), max(2, size[1] // 12), generator=generator) * 255
        texture = functional.interpolate(small, size=size, mode="bicubic").clamp(0, 255)[0].byte()
        frames = torch.stack(
            [texture.roll((step * (1 + i % 4), step * (i % 3)), (2, 1)) for step in range(num_frames)]
        )
        write_video(folder / f"{i:05d}.mp4", frames, FPS)
        (folder / f"{i:05d}.txt").write_text(f"a texture, number {i}")


def plain(source: Path, out: Path, on_clip: Clock) -> None:
    """Prepare clips one after another, as one would without this package's preparing."""
    out.mkdir()
    model = load_model(BASE)  # the stock pipeline, whole
    family, pipe = model.family, model.pipeline
    matcher = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    full_scale = CODE.scale * (BUCKET.height**2 + BUCKET.width**2) ** 0.5
    for path in sorted(source.glob("*.mp4")):
        frames = []
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                rgb = frame.to_ndarray(format="rgb24", interpolation=ACCURATE)
                frames.append(torch.from_numpy(rgb).permute(2, 0, 1))
                if len(frames) == BUCKET.num_frames:
                    break
        video = torch.stack(frames)
        ratio = max(BUCKET.height / video.shape[2], BUCKET.width / video.shape[3])
        size = round(video.shape[2] * ratio), round(video.shape[3] * ratio)
        video = functional.interpolate(video, size=size, mode="bicubic", antialias=True)
        top, left = (size[0] - BUCKET.height) // 2, (size[1] - BUCKET.width) // 2
        video = video[..., top : top + BUCKET.height, left : left + BUCKET.width].contiguous()
        grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in video.permute(0, 2, 3, 1).numpy()]
        drawn = []
        for before, after in pairwise(grey):
            u, v = np.moveaxis(matcher.calc(before, after, None), 2, 0)  # type: ignore[call-overload]
            m = np.minimum(1, np.hypot(u, v) / full_scale)
            hue = np.degrees(np.arctan2(v, u)) % 360
            hsv = np.stack([hue, np.ones_like(m), m], 2).astype(np.float32)
            drawn.append(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))
        motion = torch.from_numpy(np.stack([drawn[0], *drawn])).permute(3, 0, 1, 2)[None] * 2 - 1
        with torch.no_grad():
            x = family.encode_video(pipe, video.movedim(1, 0)[None].float() / 127.5 - 1)[0]
            d = family.encode_video(pipe, motion)[0]
            text = family.encode_prompts(pipe, [path.with_suffix(".txt").read_text()], None)
        torch.save({"x": x.half(), "d": d.half(), "text": text}, out / f"{path.stem}.pt")
        on_clip()


def ours(source: Path, out: Path, on_clip: Clock, workers: int = 2) -> None:
    """Prepare them by the package."""
    request = PrepareRequest(source, out, BASE, SETTINGS, workers=WorkerConfig(workers))
    report = prepare_folder(request, lambda done, total: on_clip(), lambda line: None)
    assert not report.left_out, report.left_out


ARMS: dict[str, Callable[[Path, Path, Clock], None]] = {
    "plain": plain,
    "ours": ours,
    "one_worker": lambda source, out, on_clip: ours(source, out, on_clip, 1),
}


def run_arm(name: str, source: Path, out: Path) -> None:
    """Be the process of one arm: print its seconds, those of a clip once it is under way, and its peak memory."""
    started = time.perf_counter()
    times: list[tuple[float, float]] = []
    ARMS[name](source, out, lambda: times.append((time.perf_counter(), cpu_seconds())))
    seconds, first = time.perf_counter() - started, len(times) // 4
    wall, cpu = ((b - a) / (len(times) - 1 - first) for a, b in zip(times[first], times[-1], strict=True))
    found = {"seconds": seconds, "seconds_per_clip": wall, "cpu_seconds_per_clip": cpu}
    print(json.dumps(found | {"cpu_seconds": cpu_seconds(), "peak_mib": peak_mib()}))


def cpu_seconds() -> float:
    """User and system seconds of this process and all below it, ended ones included."""
    ticks = 0
    for pid in process_tree():
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def process_tree() -> list[int]:
    """Return this process and all below it."""
    found: list[int] = []
    pids = [os.getpid()]
    while pids:
        pid = pids.pop()
        found.append(pid)
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                pids += map(int, (task / "children").read_text().split())
    return found


def peak_mib() -> float:
    """Peak resident memory of this program; getrusage's would be that of the process that started it, if larger."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def in_process(
    *arguments: str | Path, script: str = __file__, environment: dict[str, str] | None = None
) -> dict[str, float]:
    """Return what a process of its own measures.

    Args:
        *arguments: Of its command line.
        script: That it runs.
        environment: Variables beside those of this process.
    """
    path = Path(script)  # imported, as each worker process would run a script's own imports again
    code = f"import sys; sys.path.insert(0, {str(path.parent)!r}); import {path.stem}; {path.stem}.main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    variables = {**os.environ, **(environment or {})}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    if run.returncode:
        raise SystemExit(run.stderr)
    found: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return found


def differences(plain_out: Path, our_out: Path) -> dict[str, float]:
    """Compare the latents of both arms: largest over clips of the relative L2 difference."""
    largest = {"x": 0.0, "d": 0.0}
    for path in shard_files(our_out):
        for number, row in enumerate(read_columns(path, ["clip_id"])):
            theirs = torch.load(plain_out / f"{Path(row['clip_id']).stem}.pt", weights_only=True)
            mine = read_tensors(path, number, ("x_mean", "d_mean"))
            for name in largest:
                a, b = mine[f"{name}_mean"].float(), theirs[name].float()
                largest[name] = max(largest[name], float((a - b).norm() / b.norm()))
    return largest


def stages(source: Path, num_clips: int = 12) -> dict[str, float]:
    """Seconds a clip of each stage, on one thread; RAFT with random weights on two."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def timed(name: str) -> Any:
        started = time.perf_counter()
        yield
        seconds[name] = seconds.get(name, 0.0) + (time.perf_counter() - started) / num_clips

    with loaded_encoders(BASE, "pixels") as model:
        for path in sorted(source.glob("*.mp4"))[:num_clips]:
            with timed("hash and header"):
                content_hash(path)
            with timed("decode and resize"):
                video = read_video(path, BUCKET.num_frames, FPS, BUCKET.height, BUCKET.width).frames
            with timed("flow (DIS)"):
                flow = DisFlow()(video)
            with timed("mean speed and RGB"):
                mean_speed(flow)
                motion = CODE.draw(flow)
            with timed("autoencoder, both halves"):
                encode_pixels(model, [DrawnClip(path.name, "", video, motion)], together=True)
    torch.set_num_threads(os.cpu_count() or 1)
    started = time.perf_counter()
    RaftFlow(None)(video)
    seconds["(flow by RAFT, all cores, in place of DIS)"] = time.perf_counter() - started
    return seconds


def seconds_to_read(source: Path, num_workers: int) -> float:
    """Return the seconds a clip in which workers read and measure, where nothing waits for the autoencoder."""
    sizes = (BUCKET.num_frames, BUCKET.height, BUCKET.width)
    tasks = [
        MeasureTask(ReadTask(path.name, path, 0.0, *sizes, FPS, "crop", True), CODE)
        for path in sorted(source.glob("*.mp4"))
    ]
    times = []
    with contextlib.closing(in_workers(measure_clip, tasks, WorkerConfig(num_workers))) as results:
        for result in results:
            assert isinstance(result, MeasuredClip), result
            times.append(time.perf_counter())
    first = len(times) // 4
    return (times[-1] - times[first]) / (len(times) - 1 - first)


def speed(num_clips: int, rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_clips(root / "clips", num_clips, SOURCE_PX, 25)
        runs, cpu, whole = ({name: list[float]() for name in ARMS} for _ in range(3))
        for number in range(rounds):
            for name in ARMS:
                out = root / f"{name}-{number}"
                found = in_process("arm", name, root / "clips", out)
                runs[name].append(found["seconds_per_clip"])
                cpu[name].append(found["cpu_seconds_per_clip"])
                whole[name].append(found["seconds"])
                print(name, found, flush=True)
        ratios = [a / b for a, b in zip(runs["plain"], runs["ours"], strict=True)]
        cpu_ratios = [a / b for a, b in zip(cpu["plain"], cpu["ours"], strict=True)]
        workers = [a / b for a, b in zip(runs["one_worker"], runs["ours"], strict=True)]
        reading = [seconds_to_read(root / "clips", num) for _ in range(rounds) for num in (1, 2)]
        per_clip = stages(root / "clips")
        own = {name: value for name, value in per_clip.items() if not name.startswith("(")}
        size = sum(path.stat().st_size for path in (root / "ours-0").rglob("*") if path.is_file())
        raft = per_clip["(flow by RAFT, all cores, in place of DIS)"]
        return {
            "num_clips": num_clips,
            "bucket": str(BUCKET),
            "source_px": SOURCE_PX,
            "base": BASE,
            "seconds_per_clip": runs,
            "cpu_seconds_per_clip": cpu,
            "seconds_with_start": whole,
            "plain_over_ours": {"median": statistics.median(ratios), "each": ratios},
            "plain_over_ours_cpu": {"median": statistics.median(cpu_ratios), "each": cpu_ratios},
            "seconds_per_clip_of_reading": {"one worker": reading[::2], "two workers": reading[1::2]},
            "one_worker_over_two": {"median": statistics.median(workers), "each": workers},
            "clips_per_s": 1 / statistics.median(runs["ours"]),
            "seconds_per_clip_one_thread": per_clip,
            "share": {name: value / sum(own.values()) for name, value in own.items()},
            "clips_per_s_if_only_dis_two_workers": 2 / per_clip["flow (DIS)"],
            "clips_per_s_if_only_raft": 1 / raft,
            "bytes_per_1000_clips": size * 1000 / num_clips,
            "s_per_1000_clips": 1000 * statistics.median(runs["ours"]),
            "relative_difference": differences(root / "plain-0", root / "ours-0"),
        }


def resident_mib() -> float:
    """Resident memory of this process and all below it; shared pages are counted once for each."""
    total = 0
    for pid in process_tree():
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return total * os.sysconf("SC_PAGE_SIZE") / 2**20


def memory(num_clips: int) -> dict[str, Any]:
    bucket = parse_bucket("5x32x32")
    settings = PrepareSettings(
        clips=ClipSettings(buckets=(bucket,), fps=FPS), motion=CODE, clips_per_shard=500
    )
    seen: list[tuple[int, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "clips"
        write_clips(source, 100, (48, 48), 5)
        for i in range(100, num_clips):  # the same pictures under other captions
            shutil.copy(source / f"{i % 100:05d}.mp4", source / f"{i:05d}.mp4")
            (source / f"{i:05d}.txt").write_text(f"a texture, number {i}")

        def watch(done: int, total: int) -> None:
            if done % max(1, num_clips // 20) == 0:
                seen.append((done, round(resident_mib(), 1)))

        request = PrepareRequest(source, Path(folder) / "out", BASE, settings, workers=WorkerConfig(2))
        started = time.perf_counter()
        report = prepare_folder(request, watch, lambda line: None)
    first, last = statistics.mean(m for _, m in seen[2:6]), statistics.mean(m for _, m in seen[-4:])
    return {
        "num_clips": report.num_clips,
        "seconds": time.perf_counter() - started,
        "resident_mib_by_clips_done": seen,
        "last_fifth_over_second_tenth": last / first,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("speed", "memory", "arm"))
    parser.add_argument("rest", nargs="*")
    parser.add_argument("--clips", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    quiet_loading()
    if arguments.what == "arm":
        run_arm(arguments.rest[0], Path(arguments.rest[1]), Path(arguments.rest[2]))
        return
    found = {
        "speed": lambda: speed(arguments.clips or 48, arguments.rounds),
        "memory": lambda: memory(arguments.clips or 10_000),
    }[arguments.what]()
    machine = {
        "date": datetime.date.today().isoformat(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
        "machine": platform.machine(),
        "versions": {name: version(name) for name in ("torch", "av", "opencv-python-headless", "pyarrow")},
    }
    text = json.dumps(machine | found, indent=1)
    print(text)
    if arguments.out:
        write_text(arguments.out, text + "\n")


if __name__ == "__main__":
    main()
