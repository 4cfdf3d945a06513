"""Generating clips of prompts to files: the video, the predicted motion, the flow, and a manifest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from videojam.errors import VideoJamError
from videojam.files import refused, write_tensors
from videojam.locks import locked
from videojam.models.load import LoadedModel
from videojam.motion.video import write_video
from videojam.sampling.checks import upright
from videojam.sampling.manifest import begin
from videojam.sampling.progress import OnStep
from videojam.sampling.request import seeds_of
from videojam.sampling.sample import SampleOutput, sample
from videojam.sampling.settings import SampleSettings, resolve, settings_of

GO_ON = (
    "Free space or choose another folder; clips that are finished stay, and the same call makes the others."
)


@runtime_checkable
class Listener(Protocol):
    """Follows a generation."""

    def on_step(self, done: int, total: int) -> None:
        """Hear of a sampling step; both numbers are of the whole generation."""

    def on_clip(self, path: Path, clip: dict[str, Any]) -> None:
        """Hear of a clip that is written, with its line of the manifest."""


class _Nobody:
    def on_step(self, done: int, total: int) -> None:
        return None

    def on_clip(self, path: Path, clip: dict[str, Any]) -> None:
        return None


def generate(
    model: LoadedModel,
    prompts: Sequence[str],
    out: str | Path,
    settings: SampleSettings | None = None,
    *,
    seed: int = 0,
    image: Any = None,
    batch_size: int = 1,
    side_by_side: bool = False,
    listener: Listener | None = None,
    **changes: Any,
) -> Path:
    """Write `{index}_{slug}.mp4`, `.motion.mp4` and `.flow.safetensors` for each prompt, and a manifest.

    An interrupted generation goes on where it stood when it is asked for once more. A folder that holds another
    generation is refused, so that no clip loses what says how it was made.

    Args:
        model: Joint model, or a base (only the video).
        prompts: One for each clip.
        out: Folder, made where there is none, and not left behind empty.
        settings: How to sample.
        seed: Seed of the first clip; the next ones follow it.
        image: First frame, as in `sample`.
        batch_size: Clips sampled together.
        side_by_side: Also write `.side.mp4`, video and motion beside each other.
        listener: Hears of steps and clips.
        changes: As in `sample`.

    Returns:
        The manifest's path.

    Raises:
        VideoJamError: as `sample`; a folder of another generation; no room or permission to write.
    """
    settings, out, listener = settings_of(settings, changes), Path(out), listener or _Nobody()
    resolved, image = resolve(model, settings), None if image is None else upright(image)
    seeds_of(seed, len(prompts))
    asked = {"prompts": list(prompts), "seed": seed, "batch_size": batch_size, "side_by_side": side_by_side}
    with locked(out, "generate"):
        manifest = begin(out, model, resolved, image, asked)
        files = ClipFiles(out, resolved.fps, side_by_side)
        if not manifest.path.exists():
            files.refuse_existing(prompts)
        parts = [range(i, min(i + batch_size, len(prompts))) for i in range(0, len(prompts), batch_size)]
        missing = [part for part in parts if not manifest.has(part)]
        motion_std = (model.record.motion_std if model.record else None) or 1.0
        for num_done, part in enumerate(missing):
            batch = [prompts[i] for i in part]
            on_step = _of_whole(listener, num_done, len(missing))
            output = sample(model, batch, settings, seeds=seed + part[0], image=image, on_step=on_step)
            with _writing(out):
                manifest.save()  # before the first file, so that none is without its origin
                clips = [files.write(i, prompts[i], output, i - part[0]) for i in part]
                manifest.add(clips, output, motion_std)
                manifest.save()
            for clip in clips:
                listener.on_clip(out / clip["files"]["video"], clip)
    return manifest.path


class ClipFiles:
    """Writes the files of clips.

    Args:
        out: Folder.
        fps: Frame rate.
        side_by_side: Whether to write video and motion beside each other too.
    """

    def __init__(self, out: Path, fps: float, side_by_side: bool) -> None:
        self._out, self._fps, self._side_by_side = out, fps, side_by_side

    def refuse_existing(self, prompts: Sequence[str]) -> None:
        """Refuse a folder, without a manifest, that holds files of the names to be written."""
        for index, prompt in enumerate(prompts):
            path = self._out / f"{_stem(index, prompt)}.mp4"
            if path.exists():
                raise VideoJamError(
                    expected="a folder without clips of the same names",
                    found="one, and no manifest that says how it was made",
                    where=str(path),
                    fix="Choose another --out, or move the file away.",
                )

    def write(self, index: int, prompt: str, output: SampleOutput, i: int) -> dict[str, Any]:
        """Write the files of one clip and return its line of the manifest.

        Args:
            index: Of the clip.
            prompt: Its prompt.
            output: Of its batch.
            i: Its place in the batch.
        """
        assert output.video is not None
        stem = _stem(index, prompt)
        files = {"video": f"{stem}.mp4"}
        write_video(self._out / files["video"], output.video[i], self._fps)
        if output.motion_video is not None and output.flow is not None:
            files |= {"motion": f"{stem}.motion.mp4", "flow": f"{stem}.flow.safetensors"}
            write_video(self._out / files["motion"], output.motion_video[i], self._fps)
            flow = {"flow": output.flow[i].contiguous()}
            write_tensors(self._out / files["flow"], flow, {"unit": "px/frame"}, GO_ON)
            if self._side_by_side:
                files["side_by_side"] = f"{stem}.side.mp4"
                both = torch.cat([output.video[i], output.motion_video[i]], dim=3)
                write_video(self._out / files["side_by_side"], both, self._fps)
        line = {"index": index, "prompt": prompt, "seed": output.seeds[i], "files": files}
        return line if prompt not in output.cut else {**line, "cut_from_prompt": output.cut[prompt]}


def slug(prompt: str) -> str:
    """Return a prompt as a part of a file name: lower case, words joined by hyphens, at most 40 characters."""
    words = re.findall(r"[a-z0-9]+", prompt.lower())
    return "-".join(words)[:40].strip("-") or "clip"


def _stem(index: int, prompt: str) -> str:
    return f"{index:03d}_{slug(prompt)}"


def _of_whole(listener: Listener, num_done: int, num: int) -> OnStep:
    """Return a listener of one batch's steps that reports them as steps of all batches."""
    return lambda step, total: listener.on_step(num_done * total + step, num * total)


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Say that files can't be written, and that what is finished stays."""
    try:
        yield
    except OSError as error:
        raise refused(out, error, GO_ON) from error
