"""Sampling clips: the base's own pipeline under the guidance hook, then both halves decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.guidance.config import GuidanceConfig
from videojam.guidance.hook import GuidanceTrace, guided, pipeline_scale
from videojam.guidance.window import WindowReport
from videojam.joint.latents import reject_non_finite, split
from videojam.models.load import LoadedModel, with_image
from videojam.motion.flow import decode_motion_video, motion_video
from videojam.sampling.request import Request, build_request
from videojam.sampling.schedule import Schedule, build_scheduler


@dataclass(frozen=True)
class SampleOutput:
    """Clips of one run.

    Attributes:
        latents: Final latents, float32 `[B, C or 2C, F, H, W]`.
        seeds: One for each clip.
        video: uint8 `[B, T, 3, H, W]`; none if not decoded.
        motion_video: The predicted motion drawn as RGB, uint8 `[B, T, 3, H, W]`; none for a base model.
        flow: The predicted motion in px/frame, float32 `[B, T-1, 2, H, W]`; none for a base model.
        trace: Times, motion steps, number of forwards and std(d_t) of the run.
        window: The window of motion guidance in steps and in t; none without motion guidance.
    """

    latents: Tensor
    seeds: list[int]
    video: Tensor | None
    motion_video: Tensor | None
    flow: Tensor | None
    trace: GuidanceTrace
    window: WindowReport | None


def sample(
    model: LoadedModel,
    prompts: Sequence[str],
    *,
    seeds: int | Sequence[int] = 0,
    num_frames: int | None = None,
    height: int | None = None,
    width: int | None = None,
    num_steps: int | None = None,
    guidance: GuidanceConfig | None = None,
    negative_prompt: str | None = None,
    max_sequence_length: int | None = None,
    schedule: Schedule = "base",
    shift: float | None = None,
    image: Any = None,
    decode: bool = True,
    progress: bool = False,
) -> SampleOutput:
    """Sample clips of prompts in one batch; a clip is a function of its seed and not of its place.

    Everything that isn't given comes from the model folder's defaults, then from the stock pipeline.

    Args:
        model: Joint model, or a base (guidance `cfg` or `none`).
        prompts: One for each clip.
        seeds: One for each clip, or the first of consecutive ones. The base model draws the same noise for x.
        num_frames: Frames of a clip; 4k+1 for Wan.
        height: In px.
        width: In px.
        num_steps: Sampling steps.
        guidance: Inner-Guidance for a joint model, CFG for a base, with the folder's weights, if not given.
        negative_prompt: Null text.
        max_sequence_length: Text tokens.
        schedule: The base's own, or `linear_quadratic`.
        shift: Flow shift in place of the base's.
        image: First frame (a PIL image, the same for all clips) for a base that is, or can be, image-to-video.
        decode: Whether to decode the latents to videos.
        progress: Whether to show the pipeline's progress bar.

    Raises:
        VideoJamError: sizes, seeds or guidance that don't fit the model; NaN in the result.
    """
    model = _checked_for_image(model, image)
    guidance = guidance or default_guidance(model)
    request = build_request(
        model,
        prompts,
        seeds,
        guidance,
        num_frames=num_frames,
        height=height,
        width=width,
        num_steps=num_steps,
        negative_prompt=negative_prompt,
        max_sequence_length=max_sequence_length,
    )
    pipe, family = model.pipeline, model.family
    pipe.set_progress_bar_config(disable=not progress)
    context = guided(pipe, family, guidance) if model.is_joint else nullcontext(GuidanceTrace())
    with scheduled(pipe, schedule, shift), context as trace:
        arguments = _pipeline_arguments(request, guidance)
        if image is not None:
            arguments["image"] = image
        noise = request.noise.to(pipe._execution_device)
        latents = family.run_pipeline(pipe, noise, request.generators, **arguments).float()
        if not model.is_joint:
            trace.times = family.paper_times(pipe.scheduler).tolist()
    reject_non_finite(latents, "sampled latents", model.source)
    video, motion_video, flow = (
        decode_halves(model, latents, request.num_frames) if decode else (None, None, None)
    )
    window = guidance.window.report(trace.times) if guidance.uses_motion_branch else None
    return SampleOutput(latents, request.seeds, video, motion_video, flow, trace, window)


def default_guidance(model: LoadedModel) -> GuidanceConfig:
    """Return Inner-Guidance for a joint model and CFG for a base, with the weights of the model folder."""
    weights = {name: getattr(model.defaults, name) for name in ("w_text", "w_motion")}
    weights["w_text"] = model.family.default_w_text if weights["w_text"] is None else weights["w_text"]
    given = {name: value for name, value in weights.items() if value is not None}
    return GuidanceConfig(mode="inner" if model.is_joint else "cfg", **given)


@contextmanager
def scheduled(pipe: Any, schedule: Schedule, shift: float | None) -> Iterator[None]:
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
    video = _to_pixels(_decode(model, x, num_frames))
    if d is None or model.record is None:
        return video, None, None
    motion = _decode(model, _with_still_start(model, d), num_frames)
    flow = [decode_motion_video(clip, model.record.motion) for clip in (motion + 1) / 2]
    return video, _to_pixels(motion), torch.stack(flow)


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
    still = motion_video(torch.zeros(1, 2, height, width), model.record.motion)[:1].float() / 127.5 - 1
    first = model.family.encode_video(model.pipeline, still.movedim(0, 1)[None]).to(d)
    return torch.cat([torch.where(null.view(-1, 1, 1, 1, 1), first, d[:, :, :1]), d[:, :, 1:]], dim=2)


def _decode(model: LoadedModel, z: Tensor, num_frames: int | None) -> Tensor:
    """Decode to float in −1..1, `[B, T, 3, H, W]`, on the CPU."""
    clips = [model.family.decode_video(model.pipeline, clip[None], num_frames)[0].cpu() for clip in z]
    return torch.stack(clips).transpose(1, 2)


def _to_pixels(video: Tensor) -> Tensor:
    return ((video + 1) * 127.5).round().to(torch.uint8)


def _checked_for_image(model: LoadedModel, image: Any) -> LoadedModel:
    """Return the model with the pipeline that takes the image, or takes none."""
    if image is not None:
        return with_image(model)
    if model.family.takes_image(model.pipeline):
        raise VideoJamError(
            expected="a first frame, as the base is image-to-video",
            found="no image",
            where=model.source,
            fix="Give an image.",
        )
    return model


def _pipeline_arguments(request: Request, guidance: GuidanceConfig) -> dict[str, Any]:
    return {
        "prompt": request.prompts,
        "negative_prompt": None
        if request.negative_prompt is None
        else [request.negative_prompt] * len(request.prompts),
        "num_frames": request.num_frames,
        "height": request.height,
        "width": request.width,
        "num_inference_steps": request.num_steps,
        "guidance_scale": pipeline_scale(guidance),
        "max_sequence_length": request.max_sequence_length,
    }
