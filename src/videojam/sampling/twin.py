"""The plain twin of `sample`: an explicit loop of Eq. 8, which the pipeline under the hook must equal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from videojam.families import Conditioning, Family
from videojam.families.first_frame import restarted, video_of_image
from videojam.guidance.config import GuidanceConfig
from videojam.guidance.functions import cfg, inner_guidance, ip2p
from videojam.guidance.reuse import DeltaReuse
from videojam.joint.latents import join, null_motion, split
from videojam.models.load import LoadedModel, with_image
from videojam.sampling.request import build_request
from videojam.sampling.sample import scheduled
from videojam.sampling.schedule import Schedule


class Start(NamedTuple):
    """Where sampling begins, when not from noise.

    Attributes:
        clean: Clean latents `[B, C or 2C, F, H, W]`.
        step: First step to take; 0 is from noise alone, num_steps takes none.
    """

    clean: Tensor
    step: int


@torch.no_grad()
def sample_twin(
    model: LoadedModel,
    prompts: Sequence[str],
    *,
    seeds: int | Sequence[int] = 0,
    guidance: GuidanceConfig,
    schedule: Schedule = "base",
    shift: float | None = None,
    image: Any = None,
    start: Start | None = None,
    **given: Any,
) -> Tensor:
    """Sample latents `[B, C or 2C, F, H, W]` by an explicit loop; arguments are those of `sample`.

    With `start`, clean latents are noised to the time of its step, and the steps from it on are taken.
    """
    model = model if image is None else with_image(model)
    request = build_request(model, prompts, seeds, guidance, **given)
    pipe, family, length = model.pipeline, model.family.for_sampling(), request.max_sequence_length
    text = family.encode_prompts(pipe, request.prompts, length)
    null_text = family.encode_prompts(pipe, [request.negative_prompt or ""] * len(request.prompts), length)
    latents = request.noise.to(pipe.device)
    condition: Conditioning = {}
    if image is not None:
        size = request.num_frames, request.height, request.width
        still = video_of_image(pipe, image, len(latents), *size)
        condition = family.encode_image(pipe, still, restarted(request.generators[0]))
        text, null_text = {**text, **condition}, {**null_text, **condition}
    with scheduled(pipe, schedule, shift):
        family.set_timesteps(pipe, request.num_steps, latents)
        take_step = family.stepper(pipe.scheduler, request.generators)
        times = family.paper_times(pipe.scheduler).tolist()
        motion_steps = guidance.window.steps(times)
        reuse = DeltaReuse(guidance.reuse_every)
        first = 0 if start is None else start.step
        if start is not None and first > 0:
            latents = _noised_to(family, start.clean.to(latents), latents, times, first)
        for step, timestep in enumerate(pipe.scheduler.timesteps):
            if step < first:
                continue
            transformer = family.transformer_at(pipe, float(timestep))
            sigma = family.sigma_of(timestep).expand(len(latents))

            def predict(
                latents: Tensor, cond: Any, model: Any = transformer, sigma: Tensor = sigma
            ) -> Tensor:
                return family.denoise(model, latents, sigma, cond)

            xd = null_motion(latents) if guidance.drop_motion else latents
            in_window = guidance.uses_motion_branch and step in motion_steps
            if reuse.is_fresh(step, in_window, transformer):
                u, plain, velocity = guided_velocity(predict, xd, text, null_text, guidance, in_window)
                reuse.text, reuse.motion = plain - u, velocity - plain
            else:
                velocity = reuse.guided(predict(xd, text), in_window)
            latents = take_step(velocity, timestep, latents)
    return family.finished(latents, condition)


def _noised_to(family: Family, clean: Tensor, noise: Tensor, times: list[float], step: int) -> Tensor:
    """Noise clean latents to the time at which a step starts; after the last step nothing is left to noise."""
    if step >= len(times):
        return clean
    sigma = torch.full((len(clean),), 1 - times[step], device=clean.device)
    return family.noised(clean, noise, sigma)


def guided_velocity(
    predict: Any, xd: Tensor, text: Any, null_text: Any, guidance: GuidanceConfig, in_window: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return u(x, d, y), the prediction guided by text alone, and the guided prediction, as they are printed.

    Args:
        predict: Function of (latents, conditioning) that calls the network once.
        xd: Noised latents.
        text: Conditioning with the prompt.
        null_text: Conditioning with the null text.
        guidance: How to guide.
        in_window: Whether motion guidance runs in this step.
    """
    w_text, w_motion = guidance.w_text, guidance.w_motion
    u = predict(xd, text)
    if guidance.mode == "none":
        return u, u, u
    u_null_text = predict(xd, null_text)
    if guidance.mode == "ip2p":
        plain = ip2p(u, u_null_text, u_null_text, w_text, w_motion)
    else:
        plain = cfg(u, u_null_text, w_text)
    if not in_window:
        return u, plain, plain
    if guidance.mode == "ip2p":
        full = ip2p(u, u_null_text, predict(null_motion(xd), null_text), w_text, w_motion)
    else:
        full = inner_guidance(u, u_null_text, predict(null_motion(xd), text), w_text, w_motion)
    if guidance.motion_on == "appearance":
        full = join(split(full)[0], split(plain)[1])
    return u, plain, full
