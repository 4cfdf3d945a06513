"""What the stock pipeline does: text and image encoding, its defaults, its layout, and its call."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.families.denoising import Conditioning, Generators
from videojam.families.projections import Projections
from videojam.families.stock import Config, Pipeline, Transformer

_Adapter = TypeVar("_Adapter", bound="PipelineAdapter")


@dataclass(frozen=True)
class PipelineAdapter(Projections):
    """How the stock pipeline of a base architecture is called; what it does already is left to it.

    Attributes:
        batched_cfg: Whether the stock pipeline's CFG is one pass over the batch [unconditional, conditional].
        keeps_scale: Whether the stock pipeline keeps the scale of its CFG as its guidance scale while it is called.
        pass_names: What the stock pipeline calls its passes otherwise: (conditional, unconditional).
        default_w_text: w1 if neither the user nor the model folder says; None: the paper's.
        image_pipelines: Image-to-video pipelines of the class that carry 2C latents.
        text_key: Config key of the width of the text.
    """

    batched_cfg: bool = False
    keeps_scale: bool = True
    pass_names: tuple[str, str] = ("cond", "uncond")
    default_w_text: float | None = None
    image_pipelines: tuple[str, ...] = ()
    text_key: str = "text_embed_dim"

    @torch.no_grad()
    def encode_prompts(
        self, pipe: Pipeline, prompts: list[str], max_sequence_length: int | None = None
    ) -> Conditioning:
        """Encode prompts with the pipeline's own code into keyword tensors `[N, ...]` of a denoiser call.

        Here to `encoder_hidden_states [N, L, D]`; what the stock call does about padding is done.
        """
        embeds, _ = pipe.encode_prompt(
            prompt=list(prompts),
            do_classifier_free_guidance=False,
            max_sequence_length=max_sequence_length or self.default_sequence_length(pipe),
        )
        return {"encoder_hidden_states": embeds}

    def encode_image(
        self,
        pipe: Pipeline,
        video: Float[Tensor, "b 3 t h w"],
        generators: list[torch.Generator] | None = None,
    ) -> Conditioning:
        """Encode what an image-to-video base reads beside text, from each clip's first frame; else nothing.

        The motion half has no such condition. `first_latent` is put into the latents by `denoise`, whose tokens
        there have timestep 0; `condition` is concatenated after them on channels.

        Args:
            pipe: Stock pipeline.
            video: In −1..1; the first frame is read.
            generators: One a clip, for pipelines that sample the image's latent; of seed 0 if not given.
        """
        self._refuse_image(pipe)
        return {}

    def text_shapes(self, config: Config, length: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of one row of what `encode_prompts` returns, without encoding anything.

        Args:
            config: The transformer's.
            length: Text tokens.
        """
        return {"encoder_hidden_states": (length, int(config[self.text_key]))}

    def image_shapes(self, config: Config, latent: tuple[int, int, int, int]) -> dict[str, tuple[int, ...]]:
        """Return the shapes of one row of what `encode_image` returns for an image-to-video pipeline.

        Args:
            config: The joint transformer's.
            latent: (C, F, H, W) of the appearance latent.
        """
        return {}

    def default_sequence_length(self, pipe: Pipeline) -> int:
        """Return the number of text tokens that the stock pipeline pads to when it is called."""
        return int(call_default(pipe, "max_sequence_length"))

    def default(self, pipe: Pipeline, name: str) -> Any:
        """Return what the stock pipeline takes for an argument of its call that isn't given."""
        if name == "max_sequence_length":
            return self.default_sequence_length(pipe)
        return call_default(pipe, name)

    def pack(self, transformer: Transformer, latents: Tensor) -> Tensor:
        """Return latents `[B, C or 2C, F, H, W]` in the layout of the network and of the stock pipeline."""
        return latents

    def unpack(self, transformer: Transformer, hidden: Tensor, like: Tensor) -> Tensor:
        """Invert `pack`, for latents of the frames and sizes of `like`."""
        return hidden

    def for_pipeline(self: _Adapter, pipe: Pipeline) -> _Adapter:
        """Return the family with what only the pipeline's config states (for example per-token time)."""
        return self

    def run_pipeline(
        self, pipe: Pipeline, latents: Tensor, generators: Generators, **arguments: Any
    ) -> Tensor:
        """Call the stock pipeline on initial noise `[B, C or 2C, F, H, W]` and return its final latents.

        Args:
            pipe: Stock pipeline.
            latents: Initial noise.
            generators: Of x and of d, for schedulers that draw more noise.
            arguments: Of the stock pipeline's call.
        """
        self._refuse_image(pipe)
        transformer = self.first_transformer(pipe)
        packed = self.pack(transformer, latents)
        out = pipe(latents=packed, output_type="latent", **arguments).frames
        return self.unpack(transformer, out, latents)

    def stacks_passes(self, pipe: Pipeline, scale: float) -> bool:
        """Whether a pass of the stock call under way carries the batch [unconditional, conditional].

        Args:
            pipe: Stock pipeline, in a call.
            scale: Its guidance scale.
        """
        return self.batched_cfg and scale > 1

    def check_call(self, pipe: Pipeline) -> None:
        """Refuse arguments of the stock call under way that guidance can't run beside; here there are none."""
        return

    def takes_image(self, pipe: Pipeline) -> bool:
        """Whether the stock pipeline is image-to-video."""
        return "image" in inspect.signature(type(pipe).__call__).parameters

    def image_pipeline(self, pipe: Pipeline) -> Pipeline | None:
        """Return the image-to-video pipeline of a text-to-video pipeline's own parts, if its model does both."""
        return None

    def _refuse_image(self, pipe: Pipeline) -> None:
        if self.takes_image(pipe) and type(pipe).__name__ not in self.image_pipelines:
            raise VideoJamError(
                expected=" or ".join(("a text-to-video pipeline", *self.image_pipelines)),
                found=f"{type(pipe).__name__}, which can't carry the motion channels",
                where="model_index.json",
                fix="Convert the text-to-video model of the family, or call the transformer from your own loop.",
            )


def call_default(pipe: Pipeline, name: str) -> Any:
    """Return the default of an argument of the stock pipeline's `__call__`."""
    return inspect.signature(type(pipe).__call__).parameters[name].default
