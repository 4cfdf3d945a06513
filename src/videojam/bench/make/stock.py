"""Any diffusers text-to-video pipeline, called as its own documentation calls it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from videojam.bench.folder import Item
from videojam.bench.make.arms import ArmSpec
from videojam.bench.make.sources import Made
from videojam.bench.work import Work
from videojam.errors import VideoJamError
from videojam.families import family_of
from videojam.misfits import reason
from videojam.out_of_memory import is_out_of_memory
from videojam.sampling.settings import SampleSettings

KNOWN_HERE = ("w_text", "num_steps", "num_frames", "height", "width", "fps", "negative_prompt")


class StockSampler:
    """A pipeline that this package knows nothing of, beyond what all pipelines share."""

    def __init__(self, spec: ArmSpec, folder: Path, work: Work) -> None:
        from diffusers import DiffusionPipeline

        given = [name for name in spec.settings.given if name not in KNOWN_HERE]
        given = [name for name in given if name != "schedule" or spec.settings.schedule != "base"]
        if given:
            raise VideoJamError(
                expected="settings that every diffusers pipeline has: steps, frames, height, width, w_text, fps",
                found=", ".join(given),
                where=f"arm {spec.name!r}, called as a stock pipeline",
                fix=f"Remove {' and '.join(given)} from the arm.",
            )
        device, dtype = work.device, work.dtype
        dtype = dtype or (torch.float32 if device == "cpu" else torch.bfloat16)
        self._spec = spec
        try:
            self._pipe = DiffusionPipeline.from_pretrained(folder, torch_dtype=dtype, local_files_only=True)
        except (OSError, ValueError, AttributeError, ImportError) as error:
            raise VideoJamError(
                expected="a pipeline that this diffusers can load",
                found=str(error).splitlines()[0],
                where=spec.source,
                fix="Check the folder and the version of diffusers.",
            ) from None
        self._pipe.set_progress_bar_config(disable=True)
        if work.offload:
            self._pipe.enable_model_cpu_offload(device=device)
        else:
            self._pipe.to(device)
        self.fps = spec.settings.fps or self._family_fps()
        name = type(self._pipe).__name__
        self.noise = f"{name} of the seed"
        self.facts: dict[str, Any] = {"pipeline": name, "guidance_scale": _scale(spec.settings)}

    def _family_fps(self) -> float:
        with suppress(VideoJamError):
            return family_of(self._pipe).fps  # of classes that are only converted nobody looked it up
        raise VideoJamError(
            expected="the frame rate of the model's clips, which its files don't state",
            found="none",
            where=f"arm {self._spec.name!r}",
            fix=f"Add it: {self._spec.name}={self._spec.source},fps=8",
        )

    @torch.no_grad()
    def make(self, items: Sequence[Item]) -> list[Made]:
        """Call the pipeline on a batch, with a generator for each clip."""
        settings = self._spec.settings
        asked = {
            "prompt": [item.prompt.text for item in items],
            "generator": [torch.Generator().manual_seed(item.noise_seed) for item in items],
            "negative_prompt": None
            if settings.negative_prompt is None
            else [settings.negative_prompt] * len(items),
            "num_inference_steps": settings.num_steps,
            "num_frames": settings.num_frames,
            "height": settings.height,
            "width": settings.width,
            "guidance_scale": _scale(settings),
            "output_type": "np",
        }
        known = inspect.signature(self._pipe.__call__).parameters
        unknown = [name for name, value in asked.items() if value is not None and name not in known]
        if unknown:
            raise VideoJamError(
                expected=f"arguments that {type(self._pipe).__name__} takes",
                found=", ".join(unknown),
                where=f"arm {self._spec.name!r}",
                fix=f"Remove {' and '.join(unknown)} from the arm.",
            )
        frames = self._called({name: value for name, value in asked.items() if value is not None})
        self.facts["num_steps"] = len(self._pipe.scheduler.timesteps)
        return [Made(_to_pixels(clip)) for clip in frames]

    def _called(self, given: dict[str, Any]) -> Any:
        """Return the pipeline's frames, numpy or images for each clip; what it refuses is said in its words."""
        refused = f"frames from the call of {type(self._pipe).__name__}"
        try:
            frames = self._pipe(**given).frames
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            if is_out_of_memory(error):
                raise
            raise self._unfit(refused, f"{type(error).__name__}: {reason(error)[:200]}") from error
        if isinstance(frames, np.ndarray) and not np.isfinite(frames).all():
            raise self._unfit(refused, "values NaN or infinite in them")
        return frames

    def _unfit(self, expected: str, found: str) -> VideoJamError:
        return VideoJamError(
            expected=expected,
            found=found,
            where=f"arm {self._spec.name!r}, called as a stock pipeline",
            fix="Set frames, height, width and steps as the model's documentation says, or another --dtype.",
        )


def _scale(settings: SampleSettings) -> float | None:
    return None if settings.w_text is None else 1 + settings.w_text


def _to_pixels(frames: Any) -> Tensor:
    """Turn a pipeline's frames (numpy `[T, H, W, 3]` in 0..1, or a list of images) into uint8 `[T, 3, H, W]`."""
    array = np.stack([np.asarray(frame) for frame in frames])
    if array.dtype != np.uint8:
        array = (array * 255).round().clip(0, 255).astype(np.uint8)
    return torch.from_numpy(array).permute(0, 3, 1, 2).contiguous()
