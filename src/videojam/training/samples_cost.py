"""What validation clips cost beside the steps: memory while a set of them is sampled and decoded, and operations."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from videojam.guidance.config import Guidance
from videojam.guidance.hook import pipeline_scale
from videojam.guidance.reuse import DeltaReuse
from videojam.models.load import LoadedModel
from videojam.sampling.sample import scheduled
from videojam.sampling.settings import ResolvedSettings, resolve, settings_of
from videojam.training.config import TrainConfig
from videojam.training.samples_plan import NUM_CAPTIONS, as_trained, settings_at, settings_of_base
from videojam.training.simulate import StepCost, Tracker, autoencoder_without_data, cost_of_step


class SamplesCost(BaseModel):
    """Validation clips of a run, without their texts, which are encoded once before it."""

    model_config = ConfigDict(frozen=True)

    autoencoder: int = Field(description="Its weights, in bytes.")
    average: int = Field(description="The trained weights, which wait while their average is sampled.")
    forward: int = Field(description="What the widest pass of a step holds.")
    decoding: int = Field(description="What the decoding of a clip holds.")
    flops: float = Field(description="Operations of all clips of the run, the base's too.")

    def held(self, num_cards: int = 1, gathered: int = 0) -> int:
        """Return the bytes on top of what stays from step to step, at the fullest.

        Args:
            num_cards: Over which FSDP2 cuts the weights.
            gathered: What it gathers at a time.
        """
        return self.autoencoder + max(self.average // num_cards + gathered + self.forward, self.decoding)


def cost_of_samples(
    config: TrainConfig,
    model: LoadedModel,
    build: Callable[[Mapping[str, int]], nn.Module],
    lengths: Mapping[str, int],
    average: int,
) -> SamplesCost | None:
    """Estimate what a recipe's `samples` hold and do; None without them.

    Args:
        config: The recipe.
        model: The base by its configs.
        build: Gives the transformer on `meta` with so many blocks in each of its lists.
        lengths: Blocks of its lists, by their names.
        average: Bytes of the average weights, beside which the trained ones wait.
    """
    asked, source = config.samples, config.data.source
    if asked is None:
        return None
    sizes = {name: getattr(source, name) for name in ("num_frames", "height", "width", "fps")}
    length = {"max_sequence_length": config.data.max_sequence_length}
    settings = settings_of(None, {**sizes, **length, **asked.settings.given})
    trained = as_trained(config, model, 0)
    ours, theirs = resolve(trained, settings_at(config, settings)), resolve(model, settings_of_base(settings))
    num_clips = len(asked.prompts) or NUM_CAPTIONS
    num_sets = -(-config.num_steps // asked.every)
    is_joint = config.method == "videojam"

    forward = _forward(trained, ours, build, lengths, config)
    decoding = _decoding(model, ours, asked.tiled)
    evaluations = num_sets * num_evaluations(trained, ours) + num_evaluations(model, theirs)
    decoded = num_sets * (3 if is_joint else 2)  # the base's, the model's and its motion
    return SamplesCost(
        autoencoder=sum(4 * parameter.numel() for parameter in model.pipeline.vae.parameters()),
        average=average,
        forward=round(forward.peak),
        decoding=round(decoding.peak),
        flops=num_clips * (evaluations * forward.flops + decoded * decoding.flops),
    )


def num_evaluations(model: LoadedModel, settings: ResolvedSettings) -> int:
    """Count the forwards of one clip: each step's texts, and in the window the rule's branch."""
    guidance, pipe = settings.guidance, copy.copy(model.pipeline)
    size = settings.num_frames, settings.height, settings.width
    with scheduled(pipe, settings.schedule, settings.shift):
        model.family.set_timesteps(
            pipe, settings.num_steps, torch.zeros(1, *model.family.latent_shape(pipe, *size))
        )
        times = model.family.paper_times(pipe.scheduler).tolist()
    window = set(guidance.window.steps(times)) if guidance.uses_motion_branch else set()
    reuse, num = DeltaReuse(guidance.reuse_every), 0
    for step in range(len(times)):
        is_fresh = reuse.begin(step, step in window, None)
        num += 1 + is_fresh * (_has_null_text(guidance) + (step in window))
    return num


def _has_null_text(guidance: Guidance) -> bool:
    return guidance.rule.has_null_text and pipeline_scale(guidance) > 1


def _forward(
    model: LoadedModel,
    settings: ResolvedSettings,
    build: Callable[[Mapping[str, int]], nn.Module],
    lengths: Mapping[str, int],
    config: TrainConfig,
) -> StepCost:
    """Simulate the widest pass of a step; FLOPs are those of one clip's evaluation."""
    family, pipe, guidance = model.family, model.pipeline, settings.guidance
    num_halves = 1 + (config.method == "videojam")
    rows = 2 if family.batched_cfg and _has_null_text(guidance) else 1
    rows += guidance.batched and guidance.uses_motion_branch
    one = family.latent_shape(pipe, settings.num_frames, settings.height, settings.width)

    def call(module: nn.Module) -> Tensor:
        transformer = cast(Any, module)
        shapes = family.text_shapes(transformer.config, settings.max_sequence_length)
        latent = torch.empty(rows, num_halves * one[0] + family.has_level, *one[1:])
        text = {name: torch.ones(rows, *shape) for name, shape in shapes.items()}
        if family.takes_image(pipe):
            images = family.image_shapes(transformer.config, one)
            text |= {name: torch.ones(rows, *shape) for name, shape in images.items()}
        is_bf16 = config.precision == "bf16"
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
            return family.denoise(transformer, latent, torch.rand(rows), text)

    cost = cost_of_step(build, lengths, call, backward=False)
    return StepCost(cost.saved, cost.peak, 0.0, cost.flops / rows)


def _decoding(model: LoadedModel, settings: ResolvedSettings, tiled: bool) -> StepCost:
    """Simulate the decoding of one clip, on a line through two short lengths of it."""
    family, pipe = model.family, copy.copy(model.pipeline)
    temporal = family.compression(pipe)[0]
    short, longer = 1 + temporal, 1 + 2 * temporal

    def cost(num_frames: int) -> StepCost:
        mode = FakeTensorMode(allow_non_fake_inputs=True)
        vae = autoencoder_without_data(pipe, mode)
        if tiled:
            pipe.vae.enable_tiling()
        with mode, Tracker(vae.parameters()) as tracker, torch.no_grad():
            shape = family.latent_shape(pipe, num_frames, settings.height, settings.width)
            family.decode_video(pipe, torch.empty(1, *shape), num_frames)
        return StepCost(0.0, float(tracker.peak), 0.0, tracker.flops)

    low, high = cost(short), cost(longer)
    whole = low.plus(high.minus(low), (settings.num_frames - short) // temporal)
    return StepCost(0.0, max(high.peak, whole.peak), 0.0, whole.flops)
