"""The trained families: a row each, and what the tests of a row share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from tiny_pipelines import write_tiny_wan

import tiny_families as tiny
from videojam.families.first_frame import video_of_image
from videojam.guidance.window import Window
from videojam.joint.latents import join, split
from videojam.models.load import load_model
from videojam.sampling.sample import sample
from videojam.training.new_rate import new_entries

PROMPTS = ["a red ball moves left", "green wheel"]


ALL = Window(end=1.0)


@dataclass(frozen=True)
class Kind:
    """One row of the table.

    Attributes:
        write: Writes the tiny base.
        frames: Frames of a clip.
        side: Height and width in px.
        length: Text tokens.
        batch: Samples of a training step.
        oracle_atol: How far from the clean latents the scheduler may end.
        batch_atol: Rounding of a pass over another batch size, w2 times; 0 where passes run one by one.
        scale_name: The stock call's name of the guidance scale; none where a guider of 6 is in the folder.
        plain: Arguments of the stock call without which it guides by more than text.
        rescales: Whether the stock call returns latents in the autoencoder's scale.
        needs_negative: Whether the stock call guides only if it is given a negative prompt.
        image: Of image-to-video pipelines, how the stock call takes the image: one, or one for each clip.
        expert: Of two transformers, the one that a run trains.
    """

    write: Callable[[Path], Path]
    frames: int = 9
    side: int = 32
    length: int = 8
    batch: int = 4
    oracle_atol: float = 1e-4
    batch_atol: float = 2e-5
    scale_name: str | None = "guidance_scale"
    plain: dict[str, float | None] = field(default_factory=dict)
    rescales: bool = False
    needs_negative: bool = False
    image: Literal["one", "each"] | None = None
    expert: str | None = None

    @property
    def size(self):
        size = {"num_frames": self.frames, "height": self.side, "width": self.side}
        return size | {"max_sequence_length": self.length}

    @property
    def options(self):
        """Size and first frame, as our samplers take them."""
        return {**self.size, "image": first_frame(self.side)} if self.image else self.size


KINDS = {
    "wan": Kind(write_tiny_wan, batch_atol=0),
    "wan-ti2v": Kind(partial(write_tiny_wan, expand_timesteps=True), batch_atol=0),
    "wan-a14b": Kind(  # UniPC tells the network σ rounded to 1/1000
        partial(write_tiny_wan, experts=True, unipc=True),
        batch_atol=0,
        oracle_atol=5e-3,
        expert="transformer",
    ),
    "cogvideox-2b": Kind(tiny.write_tiny_cogvideox),
    "cogvideox-5b": Kind(partial(tiny.write_tiny_cogvideox, rotary=True, dpm=True)),
    "cogvideox-1.5": Kind(partial(tiny.write_tiny_cogvideox, padded=True)),
    "ltx": Kind(tiny.write_tiny_ltx, side=64),
    "ltx-2": Kind(
        tiny.write_tiny_ltx2,
        plain={
            "stg_scale": 0,
            "audio_stg_scale": 0,
            "modality_scale": 1,
            "audio_modality_scale": 1,
            "guidance_rescale": 0,
            "audio_guidance_rescale": 0,
            "audio_guidance_scale": None,  # that of the video
        },
        rescales=True,
    ),
    "mochi": Kind(tiny.write_tiny_mochi, frames=13),
    "hunyuan-video": Kind(
        tiny.write_tiny_hunyuan_video,
        batch_atol=0,
        needs_negative=True,
        scale_name="true_cfg_scale",
    ),
    "hunyuan-video-1.5": Kind(tiny.write_tiny_hunyuan_video15, batch=1, batch_atol=0, scale_name=None),
    "wan-i2v": Kind(partial(write_tiny_wan, image=True, clip=True), batch_atol=0, image="one"),
    "wan-ti2v-i2v": Kind(
        partial(write_tiny_wan, image=True, expand_timesteps=True), batch_atol=0, image="one"
    ),
    "cogvideox-i2v": Kind(
        partial(tiny.write_tiny_cogvideox, rotary=True, dpm=True, image=True), image="each"
    ),
    "cogvideox-1.5-i2v": Kind(partial(tiny.write_tiny_cogvideox, padded=True, image=True), image="each"),
    "ltx-i2v": Kind(partial(tiny.write_tiny_ltx, image=True), side=64, image="each"),
}


def first_frame(side):
    pixels = torch.randint(0, 256, (side, side, 3), generator=torch.Generator().manual_seed(4))
    return Image.fromarray(pixels.to(torch.uint8).numpy())


@dataclass(frozen=True)
class Case:
    """A row with its folders. Its models are loaded once, for tests that leave them as they are."""

    kind: Kind
    base: Path
    joint: Path

    @cached_property
    def base_model(self):
        return load_model(self.base)

    @cached_property
    def joint_model(self):
        return load_model(self.joint)

    @cached_property
    def trained_model(self):
        """The joint model with random numbers for the new entries, as if it had been trained."""
        model = load_model(self.joint)
        fill_new_entries(model)
        return model


def run(case, model, **options):
    options = {"seeds": [3, 9], "num_steps": 3, "decode": False, **case.kind.options, **options}
    return sample(model, PROMPTS, **options)


def fill_new_entries(model):
    """Put random numbers into the new entries, as if they had been trained."""
    generator = torch.Generator().manual_seed(1)
    for transformer in model.family.transformers(model.pipeline).values():
        for name, mask in new_entries(transformer, model.family).items():
            parameter = transformer.get_parameter(name)
            noise = 0.3 * torch.randn(parameter.shape, generator=generator)
            parameter.data.copy_(torch.where(mask, noise, parameter))


def clean_latents(case, model):
    generator = torch.Generator().manual_seed(0)
    video = torch.rand(1, 3, case.kind.frames, case.kind.side, case.kind.side, generator=generator) * 2 - 1
    x, d = (model.family.encode_video(model.pipeline, clip) for clip in (video, video.flip(2, 4)))
    return split(model.family.finished(join(x, d), image_condition(case, model, 1)))


def image_condition(case, model, num):
    """What the network reads of the first frame; nothing for text-to-video."""
    if case.kind.image is None:
        return {}
    size = case.kind.frames, case.kind.side, case.kind.side
    still = video_of_image(model.pipeline, first_frame(case.kind.side), num, *size)
    return model.family.encode_image(model.pipeline, still)


def conditions(case, model, prompts):
    text = model.family.encode_prompts(model.pipeline, prompts, case.kind.length)
    return {**text, **image_condition(case, model, len(prompts))}
