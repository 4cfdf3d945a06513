"""Clips that are encoded in the steps: read by the loader's threads, encoded by an autoencoder that stays loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock

import torch
from torch import Tensor

from videojam.data.cache import read_encoded
from videojam.data.config import DataConfig
from videojam.data.encoded import EncodedClip
from videojam.data.latents import DrawnClip, encode_pixels, flow_of
from videojam.data.loader import Order, drawn
from videojam.models.load import LoadedModel
from videojam.motion.code import MotionCode
from videojam.motion.estimators import FlowEstimator
from videojam.seeds import generator_of


@dataclass(frozen=True)
class OnlineReader:
    """Gives the loader the tensors of a clip, which are those of the cache where its beginning and the mean are taken.

    Threads decode beside one another; flow and latents are one thread's at a time, as stock autoencoders keep what
    they have seen of a clip in themselves.

    Attributes:
        model: With its autoencoder.
        code: Motion code that draws flow as RGB.
        estimator: Of flow.
        data: Which part of a file, and the mean or a draw.
        seed: Of parts and draws.
    """

    model: LoadedModel
    code: MotionCode
    estimator: FlowEstimator
    data: DataConfig
    seed: int
    lock: Lock = field(default_factory=Lock)

    def __call__(self, clip: EncodedClip, order: Order, row: int) -> dict[str, Tensor]:
        """Read, draw and encode a clip for a row of a step.

        Args:
            clip: Whose text stands in its file.
            order: Gives the step.
            row: Of the batch of all processes.

        Raises:
            VideoJamError: the clip's file is gone or can't be decoded.
        """
        assert clip.entry is not None
        where = 0.0
        if self.data.part == "random":
            where = float(torch.rand((), generator=generator_of(self.seed, order.step, row, "part")))
        content = clip.entry.read(where)
        with self.lock:
            motion = self.code.draw(flow_of(content, self.estimator))
            new = DrawnClip(clip.name, clip.caption, content.video, motion, self.code.gain)
            made = encode_pixels(self.model, [new])
            halves = {"x": (made.x, made.x_std), "d": (made.d, made.d_std)}
            latents = {
                name: (mean[0].cpu().half(), std[0].cpu().half()) for name, (mean, std) in halves.items()
            }
            image = {f"image.{name}": tensor[0].cpu() for name, tensor in made.image.items()}
        is_drawn = self.data.draw == "posterior"
        tensors = {
            name: drawn(mean, std, self.seed, order, row, name) if is_drawn else mean
            for name, (mean, std) in latents.items()
        }
        return tensors | read_encoded(clip.path, what=f"the encoded words of {clip.name}") | image
