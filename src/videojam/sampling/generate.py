"""Generating clips of prompts to files: the video, the predicted motion, the flow, and a manifest."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from videojam import __version__
from videojam.files import refused, renamed
from videojam.guidance.config import GuidanceConfig
from videojam.models.load import LoadedModel
from videojam.motion.video import write_video
from videojam.sampling.sample import SampleOutput, default_guidance, sample

MANIFEST_NAME = "manifest.json"


def generate(
    model: LoadedModel,
    prompts: Sequence[str],
    out: str | Path,
    *,
    seed: int = 0,
    guidance: GuidanceConfig | None = None,
    fps: float | None = None,
    batch_size: int = 1,
    side_by_side: bool = False,
    **options: Any,
) -> Path:
    """Write `{index}_{slug}.mp4`, `.motion.mp4` and `.flow.safetensors` for each prompt, and a manifest.

    Args:
        model: Joint model, or a base (the video alone).
        prompts: One for each clip.
        out: Folder, created if missing; files of the same names are replaced.
        seed: Seed of the first clip; the next ones follow it.
        guidance: As in `sample`.
        fps: Frame rate; the model folder's, else the family's, if not given.
        batch_size: Clips sampled together.
        side_by_side: Also write `.side.mp4`, video and motion beside each other.
        options: Further arguments of `sample`.

    Returns:
        The manifest's path.

    Raises:
        VideoJamError: as `sample`; no room or permission to write.
    """
    out = Path(out)
    guidance = guidance or default_guidance(model)
    fps = fps or model.defaults.fps or model.family.fps
    clips: list[dict[str, Any]] = []
    output: SampleOutput | None = None
    try:
        out.mkdir(parents=True, exist_ok=True)
        for start in range(0, len(prompts), batch_size):
            batch = list(prompts[start : start + batch_size])
            output = sample(model, batch, seeds=seed + start, guidance=guidance, **options)
            for i, prompt in enumerate(batch):
                clips.append(_write_clip(out, start + i, prompt, output, i, fps, side_by_side))
        return _write_manifest(out, model, guidance, fps, options, clips, output)
    except OSError as error:
        fix = "Free space or choose another folder; clips that were finished are kept."
        raise refused(out, error, fix) from error


def slug(prompt: str, max_length: int = 40) -> str:
    """Return a prompt as a part of a file name: lower case, words joined by hyphens."""
    words = re.findall(r"[a-z0-9]+", prompt.lower())
    return "-".join(words)[:max_length].strip("-") or "clip"


def _write_clip(
    out: Path, index: int, prompt: str, output: SampleOutput, i: int, fps: float, side_by_side: bool
) -> dict[str, Any]:
    """Write the files of one clip and return its line of the manifest."""
    assert output.video is not None
    stem = f"{index:03d}_{slug(prompt)}"
    files = {"video": f"{stem}.mp4"}
    write_video(out / files["video"], output.video[i], fps)
    if output.motion_video is not None and output.flow is not None:
        files |= {"motion": f"{stem}.motion.mp4", "flow": f"{stem}.flow.safetensors"}
        write_video(out / files["motion"], output.motion_video[i], fps)
        with renamed(out / files["flow"]) as unfinished:
            save_file({"flow": output.flow[i].contiguous()}, unfinished, metadata={"unit": "px/frame"})
        if side_by_side:
            files["side_by_side"] = f"{stem}.side.mp4"
            both = torch.cat([output.video[i], output.motion_video[i]], dim=3)
            write_video(out / files["side_by_side"], both, fps)
    return {"index": index, "prompt": prompt, "seed": output.seeds[i], "files": files}


def _write_manifest(
    out: Path,
    model: LoadedModel,
    guidance: GuidanceConfig,
    fps: float,
    options: dict[str, Any],
    clips: list[dict[str, Any]],
    output: SampleOutput | None,
) -> Path:
    """Write what is needed to make the same clips again, and what the run measured."""
    trace, window = (output.trace, output.window) if output else (None, None)
    motion_std = (model.record.motion_std if model.record else None) or 1.0
    manifest = {
        "model": model.source,
        "record": model.record.model_dump(mode="json") if model.record else None,
        "versions": {
            "videojam": __version__,
            **{name: version(name) for name in ("torch", "diffusers", "transformers")},
        },
        "fps": fps,
        "guidance": guidance.model_dump(mode="json"),
        "motion_window": {**window.model_dump(mode="json"), "text": str(window)} if window else None,
        "num_steps": len(trace.times) if trace else 0,
        "num_forwards": trace.num_forwards if trace else 0,
        "num_evaluations": trace.num_evaluations if trace else 0,
        "times": trace.times if trace else [],
        "std_d": trace.std_d if trace else [],
        "expected_std_d": trace.expected_std_d(motion_std) if trace else [],
        "options": {name: value for name, value in options.items() if _is_plain(value)},
        "clips": clips,
    }
    path = out / MANIFEST_NAME
    with renamed(path) as unfinished:
        unfinished.write_text(json.dumps(manifest, indent=2) + "\n")
    return path


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float, bool))
