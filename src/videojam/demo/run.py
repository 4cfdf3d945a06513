"""Running the demo: prompts from held-out scenes, three arms on the same noise, scores, page."""

from __future__ import annotations

import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from videojam import __version__
from videojam.demo.arms import Arm, load_arms
from videojam.demo.page import write_page
from videojam.demo.result import ARMS, WORLD, DemoClip, DemoResult, save_result, write_text
from videojam.models.load import quiet_loading
from videojam.motion.video import read_video, write_video
from videojam.sampling.sample import SampleOutput
from videojam.world import KINDS, WORLD_VERSION, WorldClip, WorldConfig, sample_clip, score_clip

HELD_OUT_SEED = 900_000_000
"""First seed of the demo's scenes, far above those that any recipe trains on."""


def run_demo(
    out: str | Path,
    *,
    clips_per_kind: int = 2,
    seed: int = 0,
    num_steps: int | None = None,
    models: str | Path | None = None,
) -> DemoResult:
    """Generate the same prompts from the same noise with each arm, score the clips and write the page.

    Args:
        out: Folder for `index.html`, `results.json` and a folder of clips for each arm.
        clips_per_kind: Prompts for each kind of the world.
        seed: Chooses other prompts and other noise.
        num_steps: Sampling steps; the models' own if not given.
        models: Folder with `base/`, `control/` and `videojam/` in place of the shipped models.

    Raises:
        VideoJamError: a model is missing or broken; no room or permission to write.
    """
    began = time.monotonic()
    out = Path(out)
    first = HELD_OUT_SEED + 1000 * seed
    seeds = list(range(first, first + clips_per_kind * len(KINDS)))
    quiet_loading()
    arms = load_arms(None if models is None else Path(models))
    world = _world_of(arms[0])
    scenes = [sample_clip(value, world, kind=KINDS[i % len(KINDS)]) for i, value in enumerate(seeds)]
    clips = [
        _write_clip(out, WORLD, i, scene, value, scene.video, None, world.fps)
        for i, (scene, value) in enumerate(zip(scenes, seeds, strict=True))
    ]
    provenance = _provenance(seeds, clips_per_kind)
    with _progress() as progress:
        for arm in arms:
            arm_began = time.monotonic()
            task = progress.add_task(ARMS[arm.name], total=len(scenes))
            outputs = arm.sample(
                [scene.caption for scene in scenes],
                seeds,
                batch_size=len(KINDS),
                num_steps=num_steps,
                num_frames=world.num_frames,
                height=world.height,
                width=world.width,
            )
            i = 0
            output: SampleOutput | None = None
            for output in outputs:
                for clip in _write_batch(out, arm, output, i, scenes, seeds, world.fps):
                    clips.append(clip)
                    progress.advance(task)
                i += len(output.seeds)
            provenance["arms"][arm.name] = _arm_provenance(arm, output, time.monotonic() - arm_began)
    provenance["seconds"] = round(time.monotonic() - began, 1)
    result = DemoResult(out, out / "index.html", tuple(clips), provenance, world.fps, world.num_frames)
    save_result(result)
    write_page(result)
    return result


def _world_of(arm: Arm) -> WorldConfig:
    """Return the world at the size that the models were trained on, where their folder says it."""
    sizes = {name: getattr(arm.model.defaults, name) for name in ("num_frames", "height", "width", "fps")}
    return WorldConfig(**{name: size for name, size in sizes.items() if size is not None})


def _write_batch(
    out: Path,
    arm: Arm,
    output: SampleOutput,
    first: int,
    scenes: list[WorldClip],
    seeds: list[int],
    fps: float,
) -> Iterable[DemoClip]:
    assert output.video is not None
    shows_motion = output.motion_video is not None and not arm.guidance.drop_motion
    for j, video in enumerate(output.video):
        i = first + j
        motion = output.motion_video[j] if shows_motion and output.motion_video is not None else None
        yield _write_clip(out, arm.name, i, scenes[i], seeds[i], video, motion, fps)


def _write_clip(
    out: Path,
    arm: str,
    index: int,
    scene: WorldClip,
    seed: int,
    video: torch.Tensor,
    motion: torch.Tensor | None,
    fps: float,
) -> DemoClip:
    """Write a clip with its caption, as `videojam world score` reads it, and score what was written."""
    path = out / arm / f"{index:05d}.mp4"
    write_video(path, video, fps)
    write_text(path.with_suffix(".txt"), scene.caption + "\n")
    motion_path = out / arm / "motion" / path.name
    if motion is not None:
        write_video(motion_path, motion, fps)
    score = score_clip(read_video(path).frames, scene.caption)
    return DemoClip(
        arm=arm,
        index=index,
        kind=scene.kind,
        prompt=scene.caption,
        seed=seed,
        video=str(path.relative_to(out)),
        motion=None if motion is None else str(motion_path.relative_to(out)),
        coherent=bool(score.coherent),
        reasons=tuple(score.reasons),
        follows_prompt=bool(score.follows_prompt),
    )


def _provenance(seeds: list[int], clips_per_kind: int) -> dict[str, Any]:
    packages = ("torch", "diffusers", "transformers")
    return {
        "versions": {"videojam": __version__, **{name: version(name) for name in packages}},
        "world_version": WORLD_VERSION,
        "seeds": [seeds[0], seeds[-1]],
        "clips_per_kind": clips_per_kind,
        "threads": torch.get_num_threads(),
        "arms": {},
    }


def _arm_provenance(arm: Arm, output: SampleOutput | None, seconds: float) -> dict[str, Any]:
    record = arm.model.record
    return {
        "model": arm.model.source,
        "guidance": arm.guidance.model_dump(mode="json"),
        "window": str(output.window) if output and output.window else None,
        "num_steps": len(output.trace.times) if output else 0,
        "motion_style": record.motion.style if record else None,
        "num_train_steps": record.num_train_steps if record else None,
        "seconds": round(seconds, 1),
    }


def _progress() -> Progress:
    columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns)
