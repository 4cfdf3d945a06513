"""What the rest of the code may ask of a base architecture: a few facts and a few functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.families.first_frame import FIRST, with_first_frame
from videojam.families.latents import Latents

Conditioning = dict[str, Tensor]
Generators = tuple[list[torch.Generator], list[torch.Generator]]
"""Of x and of d, one for each clip."""


@dataclass(frozen=True)
class Family(Latents):
    """One base architecture: its two projections, and how its latents, time and text work.

    A joint model is the stock class with 2C channels in and out, so a family holds nothing that the stock
    pipeline already does. The defaults are those of a flow model with latents `[B, C, F, H, W]`:
    x_σ = (1−σ)x + σε, the network predicts ε − x (minus the paper's velocity) and reads the timestep 1000σ.

    Attributes:
        batched_cfg: Whether the stock pipeline's CFG is one pass over the batch [unconditional, conditional].
        pass_names: What the stock pipeline calls its passes otherwise: (conditional, unconditional).
        default_w_text: w1 if neither the user nor the model folder says; none: the paper's.
        image_pipelines: Image-to-video pipelines of the class that carry 2C latents.
        num_train_timesteps: Scale of the network's time.
    """

    batched_cfg: bool = False
    pass_names: tuple[str, str] = ("cond", "uncond")
    default_w_text: float | None = None
    image_pipelines: tuple[str, ...] = ()
    num_train_timesteps: int = 1000

    # --- text ---

    @torch.no_grad()
    def encode_prompts(
        self, pipe: Any, prompts: list[str], max_sequence_length: int | None = None
    ) -> Conditioning:
        """Encode prompts with the pipeline's own code into keyword tensors `[N, ...]` of a denoiser call.

        Here to `encoder_hidden_states [N, L, D]`; what the stock call does about padding is done.
        """
        self.require_trained("text")
        embeds, _ = pipe.encode_prompt(
            prompt=list(prompts),
            do_classifier_free_guidance=False,
            max_sequence_length=max_sequence_length or self.default_sequence_length(pipe),
        )
        return {"encoder_hidden_states": embeds}

    def encode_image(
        self,
        pipe: Any,
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

    def default_sequence_length(self, pipe: Any) -> int:
        """Return the number of text tokens that the stock pipeline pads to when it is called."""
        return int(call_default(pipe, "max_sequence_length"))

    def default(self, pipe: Any, name: str) -> Any:
        """Return what the stock pipeline takes for an argument of its call that isn't given."""
        if name == "max_sequence_length":
            return self.default_sequence_length(pipe)
        return call_default(pipe, name)

    # --- time, target, network ---

    def mixture(self, sigma: float) -> tuple[float, float]:
        """Return (a, b) of x_σ = a·x + b·ε."""
        return 1 - sigma, sigma

    def noised(self, x: Tensor, eps: Tensor, sigma: Float[Tensor, " b"]) -> Tensor:
        """Noise clean latents: x_σ = (1−σ)·x + σ·ε."""
        sigma = sigma.reshape(-1, *[1] * (x.ndim - 1))
        return (1 - sigma) * x + sigma * eps

    def target(self, x: Tensor, eps: Tensor, sigma: Float[Tensor, " b"]) -> Tensor:
        """Return what the network must predict at x_σ, in the family's own sign: ε − x."""
        return eps - x

    def pack(self, transformer: Any, latents: Tensor) -> Tensor:
        """Return latents `[B, C or 2C, F, H, W]` in the layout of the network and of the stock pipeline."""
        return latents

    def unpack(self, transformer: Any, hidden: Tensor, like: Tensor) -> Tensor:
        """Invert `pack`, for latents of the frames and sizes of `like`."""
        return hidden

    def denoise(
        self, transformer: Any, xd_sigma: Tensor, sigma: Float[Tensor, " b"], cond: Conditioning
    ) -> Tensor:
        """Call the network once on noised latents and return its prediction in the family's own sign.

        Args:
            transformer: Base or joint transformer.
            xd_sigma: Noised latents `[B, C or 2C, F, H, W]`.
            sigma: Noise level in 0..1 (the paper's time is t = 1 − σ).
            cond: Output of `encode_prompts` and `encode_image`, one row for each sample.
        """
        self.require_trained("denoise")
        raise NotImplementedError

    def num_given_frames(self, cond: Conditioning) -> int:
        """Return how many latent frames, from the first on, are given and not noised: outside the loss."""
        return 1 if FIRST in cond else 0

    def finished(self, latents: Tensor, cond: Conditioning) -> Tensor:
        """Return final latents with what was given put back, as the stock pipeline returns them."""
        return with_first_frame(latents, cond[FIRST]) if FIRST in cond else latents

    def paper_times(self, scheduler: Any) -> Float[Tensor, " steps"]:
        """Return the paper's t (0 noise, 1 data) at which each sampling step of a set scheduler starts."""
        return 1 - scheduler.sigmas[: len(scheduler.timesteps)].float().cpu()

    def sigma_of(self, timestep: Tensor) -> Tensor:
        """Return σ of a scheduler's timestep."""
        return timestep / self.num_train_timesteps

    # --- the explicit loop, as the stock pipeline's ---

    def for_sampling(self) -> Family:
        """Return the family as sampling calls the network, where training calls it differently."""
        return self

    def set_timesteps(self, pipe: Any, num_steps: int, latents: Tensor) -> None:
        """Set the scheduler as the stock pipeline does for these latents."""
        pipe.scheduler.set_timesteps(num_steps, device=latents.device)

    def stepper(self, scheduler: Any, generators: Generators) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        """Return a function of (prediction, timestep, latents) that takes one step of a run."""
        return lambda prediction, timestep, latents: scheduler.step(
            prediction, timestep, latents, return_dict=False
        )[0]

    # --- the stock pipeline ---

    def for_pipeline(self, pipe: Any) -> Family:
        """Return the family with what only the pipeline's config tells (for example per-token time)."""
        return self

    def run_pipeline(self, pipe: Any, latents: Tensor, generators: Generators, **arguments: Any) -> Tensor:
        """Call the stock pipeline on initial noise `[B, C or 2C, F, H, W]` and return its final latents.

        Args:
            pipe: Stock pipeline.
            latents: Initial noise.
            generators: Of x and of d, for schedulers that draw more noise.
            arguments: Of the stock pipeline's call.
        """
        self._refuse_image(pipe)
        transformer = next(iter(self.transformers(pipe).values()))
        packed = self.pack(transformer, latents)
        out = pipe(latents=packed, output_type="latent", **arguments).frames
        return self.unpack(transformer, out, latents)

    def takes_image(self, pipe: Any) -> bool:
        """Whether the stock pipeline is image-to-video."""
        return "image" in inspect.signature(type(pipe).__call__).parameters

    @property
    def is_trained(self) -> bool:
        """Whether the family is trained and sampled, or converted alone."""
        return type(self).denoise is not Family.denoise

    def transformer_at(self, pipe: Any, timestep: float) -> Any:
        """Return the transformer that is in charge of a timestep (mixtures of experts have two)."""
        return next(iter(self.transformers(pipe).values()))

    def sigma_range(self, pipe: Any, component: str) -> tuple[float, float]:
        """Return the σ that a transformer is in charge of, from and to."""
        return 0.0, 1.0

    def image_pipeline(self, pipe: Any) -> Any | None:
        """Return the image-to-video pipeline of a text-to-video pipeline's own parts, if its model does both."""
        return None

    def _refuse_image(self, pipe: Any) -> None:
        if self.takes_image(pipe) and type(pipe).__name__ not in self.image_pipelines:
            raise VideoJamError(
                expected=" or ".join(("a text-to-video pipeline", *self.image_pipelines)),
                found=f"{type(pipe).__name__}, which can't carry the motion channels",
                where="model_index.json",
                fix="Convert the text-to-video model of the family, or call the transformer from your own loop.",
            )


def call_default(pipe: Any, name: str) -> Any:
    """Return the default of an argument of the stock pipeline's `__call__`."""
    return inspect.signature(type(pipe).__call__).parameters[name].default
