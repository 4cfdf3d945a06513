"""The world on a device: everything that drawing a training batch needs, without a word to the host."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from studies.premise.config import StudyConfig
from videojam.world import Clips, Scenes, draw_clips, lawful_scenes, text_table
from videojam.world.draw import on_grid
from videojam.world.latents import cell_colours, decode, encode, encode_motion


@dataclass(frozen=True)
class Bed:
    """Tables of a world on a device.

    Attributes:
        config: The study's.
        device: Where everything is.
        scenes: Lawful scenes, each as often as it is drawn.
        distinct: Those that can be distinguished, for the judge.
        colours: Drawn velocity of each cell of `scenes`.
        texts: Embeddings of the captions; the null text is last.
    """

    config: StudyConfig
    device: torch.device
    scenes: Scenes
    distinct: Scenes
    colours: Tensor
    texts: Tensor

    def clips(self, num: int, generator: torch.Generator) -> Clips:
        """Draw clips on the generator's device, which must be the testbed's."""
        return draw_clips(self.config.world, self.scenes, num, generator)

    def latents(self, clips: Clips) -> tuple[Tensor, Tensor]:
        """Return x and d, each `[B, 3, F, H, W]`."""
        world = self.config.world
        motion = encode_motion(world, self.scenes, clips.scene, self.colours, self.config.gain)
        return encode(world, clips.x), motion

    def moving(self, clips: Clips) -> Tensor:
        """Return where the mover shows, in the one channel that shows it, `[B, 3, F, H, W]` of bool."""
        world = self.config.world
        ones = torch.ones(*self.scenes.place.shape, 1, device=self.device)
        red = on_grid(world, self.scenes, clips.scene, ones) > 0
        return torch.cat([red, torch.zeros_like(red).expand(-1, 2, -1, -1, -1)], dim=1)

    def drawn_motion(self) -> Tensor:
        """Return the motion picture of every distinct scene, in units, `[K, 3, F, H, W]`."""
        world, every = self.config.world, torch.arange(len(self.distinct), device=self.device)
        colours = cell_colours(world, self.distinct, self.config.code)
        return decode(world, encode_motion(world, self.distinct, every, colours, gain=1.0))

    def with_gain(self, gain: float | None) -> Bed:
        """Return the testbed with another factor on d's latents; None changes nothing."""
        if gain is None:
            return self
        return replace(self, config=self.config.model_copy(update={"gain": gain}))

    @property
    def num_captions(self) -> int:
        """How many captions there are beside the null text."""
        return len(self.texts) - 1


def make_testbed(config: StudyConfig, device: torch.device) -> Bed:
    """Build the tables of a study's world on a device."""
    scenes = lawful_scenes(config.world)
    return Bed(
        config=config,
        device=device,
        scenes=scenes.to(device),
        distinct=scenes.distinct().to(device),
        colours=cell_colours(config.world, scenes, config.code).to(device),
        texts=text_table(config.world, config.model.text_dim).to(device),
    )


def seed_of(*parts: object) -> int:
    """Return a generator's seed as a function of what it is for."""
    text = " ".join(map(str, parts)).encode()
    return zlib.crc32(text) << 31 | zlib.adler32(text)


def generator_of(device: torch.device | str, *parts: object) -> torch.Generator:
    """Return a generator that is a function of its purpose."""
    return torch.Generator(device).manual_seed(seed_of(*parts))
