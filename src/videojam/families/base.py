"""What the rest of the code may ask of a base architecture: a few facts and a few functions."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor
from jaxtyping import Float
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.families.projections import Projections

Conditioning = dict[str, Tensor]
Generators = tuple[list[torch.Generator], list[torch.Generator]]
"""Of x and of d, one for each clip."""


@dataclass(frozen=True)
class Family(Projections):
    """One base architecture: its two projections, and how its latents, time and text work.

    A joint model is the stock class with 2C channels in and out, so a family holds nothing that the stock
    pipeline already does. The defaults are those of a flow model with latents `[B, C, F, H, W]`:
    x_σ = (1−σ)x + σε, the network predicts ε − x (minus the paper's velocity) and reads the timestep 1000σ.

    Attributes:
        batched_cfg: Whether the stock pipeline's CFG is one pass over the batch [unconditional, conditional].
        pass_names: What the stock pipeline calls its passes otherwise: (conditional, unconditional).
        default_w_text: w1 if neither the user nor the model folder says; none: the paper's.
        samples_images: Whether image-to-video pipelines of the class can carry 2C latents.
        size_unit: Multiple in px that the stock pipeline asks of both sides.
        num_train_timesteps: Scale of the network's time.
        fps: Frame rate of the base's clips.
    """

    batched_cfg: bool = False
    pass_names: tuple[str, str] = ("cond", "uncond")
    default_w_text: float | None = None
    samples_images: bool = False
    size_unit: int = 16
    num_train_timesteps: int = 1000
    fps: float = 16.0

    # --- latents ---

    def vae_channels(self, config: dict[str, Any]) -> int | None:
        """Return the latent channels that an autoencoder's config states, if it does."""
        return config.get("z_dim") or config.get("latent_channels")

    def normalise(self, vae: Any, z: Tensor) -> Tensor:
        """Bring the autoencoder's latents to the unit scale that the transformer is trained on."""
        raise self._conversion_only("normalise")

    def denormalise(self, vae: Any, z: Tensor) -> Tensor:
        """Invert `normalise`."""
        raise self._conversion_only("denormalise")

    def compression(self, pipe: Any) -> tuple[int, int]:
        """Return how many frames, and how many pixels of a side, one latent covers."""
        raise self._conversion_only("compression")

    def latent_shape(self, pipe: Any, num_frames: int, height: int, width: int) -> tuple[int, int, int, int]:
        """Return (C, F, H, W) of the appearance latent of a clip in pixels; refuse sizes that don't fit."""
        temporal, spatial = self.compression(pipe)
        _, height_unit, width_unit = self.smallest_clip(pipe)
        for name, size, multiple in (("height", height, height_unit), ("width", width, width_unit)):
            if size < multiple or size % multiple:
                raise VideoJamError(
                    expected=f"a multiple of {multiple} px",
                    found=f"{size}",
                    where=name,
                    fix=f"Use {max(multiple, round(size / multiple) * multiple)}.",
                )
        if num_frames < 1 or (num_frames - 1) % temporal:
            raise VideoJamError(
                expected=f"{temporal}·k + 1 frames",
                found=f"{num_frames}",
                where="num_frames",
                fix=f"Use {max(num_frames - 1, 0) // temporal * temporal + 1}.",
            )
        num_channels = self.vae_channels(dict(pipe.vae.config))
        assert num_channels is not None
        return num_channels, (num_frames - 1) // temporal + 1, height // spatial, width // spatial

    def smallest_clip(self, pipe: Any) -> tuple[int, int, int]:
        """Return (frames, height, width) in pixels of the smallest clip with motion that the base takes."""
        temporal, spatial = self.compression(pipe)
        config = next(iter(self.transformers(pipe).values())).config
        side = math.lcm(spatial * int(config.get("patch_size", 1)), self.size_unit)
        return temporal + 1, side, side

    def draw_noise(self, shape: tuple[int, ...], generators: list[torch.Generator]) -> Tensor:
        """Draw noise `[B, C, F, H, W]` as the stock pipeline does from these generators."""
        return randn_tensor(shape, generator=generators, dtype=torch.float32)

    @torch.no_grad()
    def encode_video(self, pipe: Any, video: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c f hl wl"]:
        """Encode a video in −1..1 to normalised latents (the posterior's mode, float32)."""
        posterior = pipe.vae.encode(video.to(pipe.vae.device, pipe.vae.dtype)).latent_dist
        return self.normalise(pipe.vae, posterior.mode().float())

    @torch.no_grad()
    def decode_video(
        self, pipe: Any, z: Float[Tensor, "b c f hl wl"], num_frames: int | None = None
    ) -> Float[Tensor, "b 3 t h w"]:
        """Decode normalised latents to a video in −1..1 (float32).

        Args:
            pipe: Stock pipeline.
            z: Normalised latents.
            num_frames: Frames of the clip, where the latents are padded to more.
        """
        z = self.denormalise(pipe.vae, z.float()).to(pipe.vae.dtype)
        return pipe.vae.decode(z, return_dict=False)[0].float().clamp(-1, 1)

    # --- text ---

    def encode_prompts(
        self, pipe: Any, prompts: list[str], max_sequence_length: int | None = None
    ) -> Conditioning:
        """Encode prompts with the pipeline's own code into keyword tensors `[N, ...]` of a denoiser call."""
        raise self._conversion_only("encode_prompts")

    def encode_image(self, pipe: Any, video: Float[Tensor, "b 3 t h w"]) -> Conditioning:
        """Encode what an image-to-video base reads beside text, from each clip's first frame; else nothing.

        The motion half has no such condition.
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
            cond: Output of `encode_prompts`, one row for each sample; `condition`, if present, is
                concatenated after the latents on channels (image-to-video).
        """
        raise self._conversion_only("denoise")

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

    def transformers(self, pipe: Any) -> dict[str, Any]:
        """Return the pipeline's transformers by component name (two for mixtures of experts)."""
        return {
            name: module
            for name, module in pipe.components.items()
            if any(c.__name__ == self.transformer_class for c in type(module).__mro__)
        }

    def _refuse_image(self, pipe: Any) -> None:
        if self.takes_image(pipe) and not self.samples_images:
            raise VideoJamError(
                expected="a text-to-video pipeline",
                found=f"{type(pipe).__name__}, which can't carry the motion channels",
                where="model_index.json",
                fix="Convert the text-to-video model of the family, or call the transformer from your own loop.",
            )

    def _conversion_only(self, what: str) -> VideoJamError:
        return VideoJamError(
            expected="a family that is trained and sampled",
            found=f"{self.transformer_class}, which is supported for conversion only ({what})",
            where="families",
            fix="Convert it and train with your own code, or add the functions: docs/adding-a-family.md.",
        )


def call_default(pipe: Any, name: str) -> Any:
    """Return the default of an argument of the stock pipeline's `__call__`."""
    return inspect.signature(type(pipe).__call__).parameters[name].default
