"""Sampling clips: the base's own pipeline under the guidance hook, then both halves decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.families.latent_codec import pixels_of, video_of
from videojam.families.stock import Pipeline
from videojam.guidance.hook import guided, pipeline_scale
from videojam.guidance.trace import GuidanceTrace
from videojam.guidance.window import WindowReport
from videojam.joint.latents import split
from videojam.models.load import LoadedModel, with_image
from videojam.sampling.checks import (
    memory_explained_of,
    reject_non_finite_sample,
    require_memory,
    require_motion,
    require_steps,
    upright,
    warn_of_cut_texts,
)
from videojam.sampling.progress import OnStep, steps_shown
from videojam.sampling.request import Request, build_request
from videojam.sampling.schedule import Schedule, build_scheduler
from videojam.sampling.settings import ResolvedSettings, SampleSettings, resolve, settings_of
from videojam.sampling.weaker import load_weaker


@dataclass(frozen=True)
class SampleOutput:
    """Clips of one run.

    Attributes:
        latents: Final latents, float32 `[B, C or 2C, F, H, W]`.
        seeds: One for each clip.
        video: uint8 `[B, T, 3, H, W]`; None if not decoded.
        motion_video: The predicted motion drawn as RGB, uint8 `[B, T, 3, H, W]`; None for a base model.
        flow: The predicted motion in px/frame, float32 `[B, T-1, 2, H, W]`; None for a base model.
        trace: Times, motion steps, number of forwards and std(d_t) of the run.
        window: The window of motion guidance in steps and in t; None without motion guidance.
        settings: What the clips were sampled with, nothing left open.
        cut: For each prompt that is longer than the text encoder reads, the end that was cut.
    """

    latents: Tensor
    seeds: list[int]
    video: Tensor | None
    motion_video: Tensor | None
    flow: Tensor | None
    trace: GuidanceTrace
    window: WindowReport | None
    settings: ResolvedSettings
    cut: dict[str, str]


def sample(
    model: LoadedModel,
    prompts: Sequence[str],
    settings: SampleSettings | None = None,
    *,
    seeds: int | Sequence[int] = 0,
    image: Any = None,
    decode: bool = True,
    on_step: OnStep | None = None,
    **changes: Any,
) -> SampleOutput:
    """Sample clips of prompts in one batch; a clip is a function of its seed and not of its place.

    Everything that isn't given comes from the model folder's defaults, then from the stock pipeline. Clips of one
    seed in batches of other sizes differ by float rounding only (docs/sampling.md says by how much).

    Args:
        model: Joint model, or a base (guidance `cfg` or `none`).
        prompts: One for each clip.
        settings: How to sample.
        seeds: One for each clip, or the first of consecutive ones. The base model draws the same noise for x.
        image: First frame (a PIL image, the same for all clips) for a base that is, or can be, image-to-video.
        decode: Whether to decode the latents to videos.
        on_step: Called after each step with the number of steps done and of all steps.
        changes: Keys of `SampleSettings` in place of those of `settings`, or `guidance`, a whole `Guidance`.

    Raises:
        VideoJamError: sizes, seeds, settings or guidance that don't fit the model; no memory; NaN in the result.
    """
    model = _checked_for_image(model, image)
    resolved = resolve(model, settings_of(settings, changes))
    if decode:
        require_motion(model, resolved)
    require_steps(model, resolved)
    require_memory(model, resolved, len(prompts))
    with memory_explained_of(resolved, len(prompts)):
        request = build_request(model, prompts, seeds, resolved)
        cut = warn_of_cut_texts(model, prompts, resolved)
        latents, trace = _run_pipeline(model, request, image, on_step)
        reject_non_finite_sample(model, latents)
        decoded = decode_halves(model, latents, resolved.num_frames) if decode else (None, None, None)
    video, motion_video, flow = decoded
    guidance = resolved.guidance
    return SampleOutput(
        latents=latents,
        seeds=request.seeds,
        video=video,
        motion_video=motion_video,
        flow=flow,
        trace=trace,
        window=guidance.window.report(trace.times) if guidance.uses_motion_branch else None,
        settings=resolved,
        cut=cut,
    )


def _run_pipeline(
    model: LoadedModel, request: Request, image: Any, on_step: OnStep | None
) -> tuple[Tensor, GuidanceTrace]:
    """Call the base's own pipeline under the hook and return its final latents, float32, and the trace."""
    pipe, family, settings = model.pipeline, model.family, request.settings
    no_traces: list[GuidanceTrace] = []
    guidance = settings.guidance
    weaker = None if settings.weaker is None else load_weaker(model, settings.weaker)
    has_hook = model.is_joint or guidance.rule.needs_weaker
    context = guided(pipe, family, guidance, weaker, model.is_joint) if has_hook else nullcontext(no_traces)
    with scheduled(pipe, settings.schedule, settings.shift), steps_shown(pipe, on_step), context as traces:
        arguments = _pipeline_arguments(request)
        if image is not None:
            arguments["image"] = upright(image)
        noise = request.noise.to(pipe._execution_device)
        latents = family.run_pipeline(pipe, noise, request.generators, **arguments).float()
        if has_hook:
            return latents, traces[-1]
        return latents, GuidanceTrace(times=family.paper_times(pipe.scheduler).tolist())


@contextmanager
def scheduled(pipe: Pipeline, schedule: Schedule, shift: float | None) -> Iterator[None]:
    """Give the pipeline a fresh scheduler for one run, and its own back after it."""
    own = pipe.scheduler
    pipe.scheduler = build_scheduler(own, schedule, shift)
    try:
        yield
    finally:
        pipe.scheduler = own


@torch.no_grad()
def decode_halves(
    model: LoadedModel, latents: Tensor, num_frames: int | None = None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Decode latents to (video, motion video, flow), clip by clip to save memory.

    Args:
        model: Base or joint model.
        latents: `[B, C or 2C, F, H, W]`.
        num_frames: Frames of a clip, where the latents are padded to more.
    """
    x, d = split(latents) if model.is_joint else (latents, None)
    video = pixels_of(_decode(model, x, num_frames))
    if d is None or model.record is None:
        return video, None, None
    motion = _decode(model, _with_still_start(model, d) / model.record.motion.gain, num_frames)
    flow = [model.record.motion.read(clip) for clip in (motion + 1) / 2]
    return video, pixels_of(motion), torch.stack(flow)


def _with_still_start(model: LoadedModel, d: Tensor) -> Tensor:
    """Return motion latents whose first frame, where it is null, is that of no motion.

    Image-to-video by given tokens leaves null there. Causal autoencoders decode later frames from it, and zeros
    are no latent of any video: on the shipped model they cost three times the flow's error, still frames none.
    """
    assert model.record is not None
    null = ~d[:, :, 0].flatten(1).any(dim=1)
    if not null.any():
        return d
    spatial = model.family.compression(model.pipeline)[1]
    height, width = (size * spatial for size in d.shape[3:])
    still = video_of(model.record.motion.still(height, width))
    first = model.family.encode_video(model.pipeline, still.movedim(0, 1)[None]).to(d)
    first *= model.record.motion.gain
    return torch.cat([torch.where(null.view(-1, 1, 1, 1, 1), first, d[:, :, :1]), d[:, :, 1:]], dim=2)


def _decode(model: LoadedModel, z: Tensor, num_frames: int | None) -> Tensor:
    """Decode to float in −1..1, `[B, T, 3, H, W]`, on the CPU."""
    clips = [model.family.decode_video(model.pipeline, clip[None], num_frames)[0].cpu() for clip in z]
    return torch.stack(clips).transpose(1, 2)


def _checked_for_image(model: LoadedModel, image: Any) -> LoadedModel:
    """Return the model with the pipeline that takes the image, or takes none."""
    if image is not None:
        return with_image(model)
    if model.family.takes_image(model.pipeline):
        raise VideoJamError(
            expected="a first frame, as the base is image-to-video",
            found="no image",
            where=model.source,
            fix="Give the first frame: --image FILE, or image= in Python.",
        )
    return model


def _pipeline_arguments(request: Request) -> dict[str, Any]:
    settings, null_text = request.settings, request.settings.negative_prompt
    return {
        "prompt": request.prompts,
        "negative_prompt": None if null_text is None else [null_text] * len(request.prompts),
        "num_frames": settings.num_frames,
        "height": settings.height,
        "width": settings.width,
        "num_inference_steps": settings.num_steps,
        "guidance_scale": pipeline_scale(settings.guidance),
        "max_sequence_length": settings.max_sequence_length,
    }
