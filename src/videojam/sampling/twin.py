"""The plain twin of `sample`: an explicit loop of the guidance rule, which the pipeline under the hook must equal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from videojam.families import Conditioning, Family
from videojam.families.denoising import Generators
from videojam.families.first_frame import restarted, video_of_image
from videojam.guidance.config import Guidance
from videojam.guidance.hook import pipeline_scale
from videojam.guidance.lead import motion_scheduler, motion_time
from videojam.guidance.reuse import DeltaReuse
from videojam.guidance.rules.rule import Predictions
from videojam.joint.latents import join, null_motion, split, with_level
from videojam.models.load import LoadedModel, with_image
from videojam.sampling.beside import Beside
from videojam.sampling.checks import upright
from videojam.sampling.request import build_request
from videojam.sampling.sample import scheduled
from videojam.sampling.settings import SampleSettings, resolve, settings_of
from videojam.sampling.weaker import load_weaker


class Start(NamedTuple):
    """Where sampling begins, when not from noise.

    Attributes:
        clean: Clean latents `[B, C or 2C, F, H, W]`.
        step: First step to take; 0 is from only noise, num_steps takes no step.
    """

    clean: Tensor
    step: int


@torch.no_grad()
def sample_twin(
    model: LoadedModel,
    prompts: Sequence[str],
    settings: SampleSettings | None = None,
    *,
    seeds: int | Sequence[int] = 0,
    image: Any = None,
    start: Start | None = None,
    **changes: Any,
) -> Tensor:
    """Sample latents `[B, C or 2C, F, H, W]` by an explicit loop; arguments are those of `sample`.

    With `start`, clean latents are noised to the time of its step, and the steps from it on are taken.
    """
    model = model if image is None else with_image(model)
    resolved = resolve(model, settings_of(settings, changes))
    guidance = resolved.guidance
    request = build_request(model, prompts, seeds, resolved)
    weaker = {} if resolved.weaker is None else load_weaker(model, resolved.weaker)
    pipe, family, length = model.pipeline, model.family.for_sampling(), resolved.max_sequence_length
    text = family.encode_prompts(pipe, request.prompts, length)
    null_text = family.encode_prompts(pipe, [resolved.negative_prompt or ""] * len(request.prompts), length)
    latents = request.noise.to(pipe.device)
    condition: Conditioning = {}
    if image is not None:
        size = resolved.num_frames, resolved.height, resolved.width
        still = video_of_image(pipe, upright(image), len(latents), *size)
        condition = family.encode_image(pipe, still, restarted(request.generators[0]))
        text, null_text = {**text, **condition}, {**null_text, **condition}
    with scheduled(pipe, resolved.schedule, resolved.shift):
        family.set_timesteps(pipe, resolved.num_steps, latents)
        take_step = _stepper(model, request.generators, guidance.lead)
        times = family.paper_times(pipe.scheduler).tolist()
        motion_steps = guidance.window.steps(times)
        # a clip that sampling starts from has no sound: the network goes without, as in training
        noise = {} if start else family.draw_beside(pipe, request.generators[0], resolved.num_frames)
        beside = Beside(family, noise, pipe.scheduler, request.generators, pipeline_scale(guidance))
        reuse = DeltaReuse(guidance.reuse_every)
        first = 0 if start is None else start.step
        if start is not None and first > 0:
            latents = _noised_to(family, start.clean.to(latents), latents, times, first, guidance.lead)
        for step, timestep in enumerate(pipe.scheduler.timesteps):
            if step < first:
                continue
            transformer = family.transformer_at(pipe, float(timestep))
            sigma = family.sigma_of(timestep).expand(len(latents))

            t_d = motion_time(times[step], guidance.lead)

            def predict(
                latents: Tensor, cond: Any, model: Any = transformer, sigma: Tensor = sigma, t_d: float = t_d
            ) -> Tensor:
                seen = with_level(latents, t_d) if family.has_level else latents
                return beside.denoise(model, seen, sigma, cond)

            name = next(n for n, module in family.transformers(pipe).items() if module is transformer)
            predict_weaker = partial(predict, model=weaker.get(name))
            xd = null_motion(latents) if guidance.drop_motion else latents
            in_window = guidance.uses_motion_branch and step in motion_steps
            if reuse.begin(step, in_window, transformer):
                u, plain, velocity = guided_velocity(
                    predict, xd, text, null_text, guidance, in_window, predict_weaker
                )
                reuse.keep(plain - u, velocity - plain)
            else:
                velocity = reuse.guided(predict(xd, text))
            beside.step(text, null_text, timestep)
            latents = take_step(velocity, timestep, latents)
    return family.finished(latents, condition)


def _stepper(
    model: LoadedModel, generators: Generators, lead: float
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return a function of (prediction, timestep, latents) that takes one step, d's at its own level if it leads."""
    pipe, family = model.pipeline, model.family.for_sampling()
    step_x = family.stepper(pipe.scheduler, generators)
    if lead == 1:
        return step_x
    step_d = family.stepper(motion_scheduler(pipe.scheduler, lead), generators)

    def step(prediction: Tensor, timestep: Tensor, latents: Tensor) -> Tensor:
        (u_x, u_d), (x, d) = split(prediction), split(latents)
        return join(step_x(u_x, timestep, x), step_d(u_d, timestep, d))

    return step


def _noised_to(
    family: Family, clean: Tensor, noise: Tensor, times: list[float], step: int, lead: float
) -> Tensor:
    """Noise clean latents to the time at which a step starts; after the last step nothing is left to noise."""
    if step >= len(times):
        return clean
    t = times[step]
    sigma = torch.full((len(clean),), 1 - t, device=clean.device)
    if lead == 1:
        return family.noised(clean, noise, sigma)
    (x, d), (eps_x, eps_d) = split(clean), split(noise)
    sigma_d = torch.full_like(sigma, 1 - motion_time(t, lead))
    return join(family.noised(x, eps_x, sigma), family.noised(d, eps_d, sigma_d))


def guided_velocity(
    predict: Any,
    xd: Tensor,
    text: Any,
    null_text: Any,
    guidance: Guidance,
    in_window: bool,
    predict_weaker: Any = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return u(x, d, y), the prediction guided only by text, and the guided prediction, as they are printed.

    Args:
        predict: Function of (latents, conditioning) that calls the network once.
        xd: Noised latents.
        text: Conditioning with the prompt.
        null_text: Conditioning with the null text.
        guidance: How to guide.
        in_window: Whether motion guidance runs in this step.
        predict_weaker: The same as `predict` for the weaker model of autoguidance.
    """
    rule, weights = guidance.rule, guidance.weights
    u = predict(xd, text)
    if not rule.has_null_text:
        return u, u, u
    seen = Predictions(u, predict(xd, null_text))
    plain = rule.combine(seen, weights)
    if not in_window or rule.branch is None:
        return u, plain, plain
    beside = text if rule.branch.beside == "cond" else null_text
    branch = predict_weaker(xd, beside) if rule.needs_weaker else predict(null_motion(xd), beside)
    full = rule.combine(seen._replace(branch=branch), weights)
    if guidance.motion_on == "appearance":
        full = join(split(full)[0], split(plain)[1])
    return u, plain, full
