"""The plain twin of `sample`: an explicit loop of Eq. 8, which the pipeline under the hook must equal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from videojam.guidance.config import GuidanceConfig
from videojam.guidance.functions import cfg, inner_guidance, ip2p
from videojam.joint.latents import join, null_motion, split
from videojam.joint.load import LoadedModel
from videojam.sampling.request import build_request
from videojam.sampling.sample import scheduled
from videojam.sampling.schedule import Schedule


@torch.no_grad()
def sample_twin(
    model: LoadedModel,
    prompts: Sequence[str],
    *,
    seeds: int | Sequence[int] = 0,
    guidance: GuidanceConfig,
    schedule: Schedule = "base",
    shift: float | None = None,
    **given: Any,
) -> Tensor:
    """Sample latents `[B, C or 2C, F, H, W]` by an explicit loop; arguments are those of `sample`."""
    request = build_request(model, prompts, seeds, guidance, **given)
    pipe, family, length = model.pipeline, model.family.for_sampling(), request.max_sequence_length
    text = family.encode_prompts(pipe, request.prompts, length)
    null_text = family.encode_prompts(pipe, [request.negative_prompt or ""] * len(request.prompts), length)
    latents = request.noise.to(pipe.device)
    with scheduled(pipe, schedule, shift):
        family.set_timesteps(pipe, request.num_steps, latents)
        take_step = family.stepper(pipe.scheduler, request.generators)
        motion_steps = guidance.window.steps(family.paper_times(pipe.scheduler).tolist())
        for step, timestep in enumerate(pipe.scheduler.timesteps):
            transformer = family.transformer_at(pipe, float(timestep))
            sigma = family.sigma_of(timestep).expand(len(latents))

            def predict(
                latents: Tensor, cond: Any, model: Any = transformer, sigma: Tensor = sigma
            ) -> Tensor:
                return family.denoise(model, latents, sigma, cond)

            xd = null_motion(latents) if guidance.drop_motion else latents
            velocity = guided_velocity(predict, xd, text, null_text, guidance, step in motion_steps)
            latents = take_step(velocity, timestep, latents)
    return latents


def guided_velocity(
    predict: Any, xd: Tensor, text: Any, null_text: Any, guidance: GuidanceConfig, in_window: bool
) -> Tensor:
    """Return the guided prediction of one step, by the formulas as they are printed.

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
        return u
    u_null_text = predict(xd, null_text)
    if guidance.mode == "ip2p":
        plain = ip2p(u, u_null_text, u_null_text, w_text, w_motion)
    else:
        plain = cfg(u, u_null_text, w_text)
    if not (guidance.uses_motion_branch and in_window):
        return plain
    if guidance.mode == "ip2p":
        full = ip2p(u, u_null_text, predict(null_motion(xd), null_text), w_text, w_motion)
    else:
        full = inner_guidance(u, u_null_text, predict(null_motion(xd), text), w_text, w_motion)
    if guidance.motion_on == "both":
        return full
    return join(split(full)[0], split(plain)[1])
