"""What the rest of the code may ask of a base architecture: a few facts and a few functions."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from videojam.errors import VideoJamError

OutputLayout = Literal["c_inner", "c_outer"]
Conditioning = dict[str, Tensor]


@dataclass(frozen=True)
class Family:
    """One base architecture: where its two projections are, and how its latents, time and text work.

    A joint model is the stock class with 2C channels in and out, so a family holds nothing that the stock
    pipeline already does. The defaults are those of a flow model with latents `[B, C, F, H, W]`:
    x_σ = (1−σ)x + σε, the network predicts ε − x (minus the paper's velocity) and reads the timestep 1000σ.

    Attributes:
        transformer_class: Name of the diffusers class, by which the family is registered.
        input_projection: Dotted name of the layer that reads the latents.
        output_projection: Dotted name of the layer that writes the prediction.
        output_layout: Order of the output rows: `c_inner` = (pt, ph, pw, c), `c_outer` = (c, pt, ph, pw).
        in_key: Config key of the channels in.
        out_key: Config key of the channels out.
        channel_dim: Axis of the channels in the network's hidden states.
        num_train_timesteps: Scale of the network's time.
        fps: Frame rate of the base's clips.
    """

    transformer_class: str
    input_projection: str
    output_projection: str
    output_layout: OutputLayout
    in_key: str = "in_channels"
    out_key: str = "out_channels"
    channel_dim: int = 1
    num_train_timesteps: int = 1000
    fps: float = 16.0

    # --- conversion ---

    def latent_channels(self, config: dict[str, Any]) -> int:
        """Return C, the channels of the appearance latent, of a base transformer's config."""
        return int(config.get(self.out_key) or config[self.in_key])

    def joint_config(self, config: dict[str, Any]) -> dict[str, Any]:
        """Return the config of the joint transformer: C channels more, in and out."""
        num_channels = self.latent_channels(config)
        return {**config, self.in_key: config[self.in_key] + num_channels, self.out_key: 2 * num_channels}

    def num_positions(self, config: dict[str, Any]) -> int:
        """Return P, the latent positions that one token covers."""
        patch = config.get("patch_size", 1)
        return math.prod(patch) if isinstance(patch, (list, tuple)) else int(patch)

    def vae_channels(self, config: dict[str, Any]) -> int | None:
        """Return the latent channels that an autoencoder's config states, if it does."""
        return config.get("z_dim") or config.get("latent_channels")

    # --- latents ---

    def normalise(self, vae: Any, z: Tensor) -> Tensor:
        """Bring the autoencoder's latents to the unit scale that the transformer is trained on."""
        raise self._conversion_only("normalise")

    def denormalise(self, vae: Any, z: Tensor) -> Tensor:
        """Invert `normalise`."""
        raise self._conversion_only("denormalise")

    def latent_shape(self, pipe: Any, num_frames: int, height: int, width: int) -> tuple[int, int, int, int]:
        """Return (C, F, H, W) of the appearance latent of a clip in pixels; refuse sizes that don't fit."""
        raise self._conversion_only("latent_shape")

    def smallest_clip(self, pipe: Any) -> tuple[int, int, int]:
        """Return (frames, height, width) in pixels of the smallest clip with motion that the base takes."""
        raise self._conversion_only("smallest_clip")

    @torch.no_grad()
    def encode_video(self, pipe: Any, video: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c f hl wl"]:
        """Encode a video in −1..1 to normalised latents (the posterior's mode, float32)."""
        posterior = pipe.vae.encode(video.to(pipe.vae.device, pipe.vae.dtype)).latent_dist
        return self.normalise(pipe.vae, posterior.mode().float())

    @torch.no_grad()
    def decode_video(self, pipe: Any, z: Float[Tensor, "b c f hl wl"]) -> Float[Tensor, "b 3 t h w"]:
        """Decode normalised latents to a video in −1..1 (float32)."""
        z = self.denormalise(pipe.vae, z.float()).to(pipe.vae.dtype)
        return pipe.vae.decode(z, return_dict=False)[0].float().clamp(-1, 1)

    # --- text ---

    def encode_prompts(
        self, pipe: Any, prompts: list[str], max_sequence_length: int | None = None
    ) -> Conditioning:
        """Encode prompts with the pipeline's own code into keyword tensors `[N, ...]` of a denoiser call."""
        raise self._conversion_only("encode_prompts")

    def default_sequence_length(self, pipe: Any) -> int:
        """Return the number of text tokens that the stock pipeline pads to when it is called."""
        return int(call_default(pipe, "max_sequence_length"))

    # --- time, target, network ---

    def noised(self, x: Tensor, eps: Tensor, sigma: Float[Tensor, " b"]) -> Tensor:
        """Noise clean latents: x_σ = (1−σ)·x + σ·ε."""
        sigma = sigma.reshape(-1, *[1] * (x.ndim - 1))
        return (1 - sigma) * x + sigma * eps

    def target(self, x: Tensor, eps: Tensor, sigma: Float[Tensor, " b"]) -> Tensor:
        """Return what the network must predict at x_σ, in the family's own sign: ε − x."""
        return eps - x

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

    # --- the stock pipeline ---

    def for_pipeline(self, pipe: Any) -> Family:
        """Return the family with what only the pipeline's config tells (for example per-token time)."""
        return self

    def run_pipeline(self, pipe: Any, latents: Tensor, **arguments: Any) -> Tensor:
        """Call the stock pipeline on initial noise `[B, C or 2C, F, H, W]` and return its final latents."""
        return pipe(latents=latents, output_type="latent", **arguments).frames

    def takes_image(self, pipe: Any) -> bool:
        """Whether the stock pipeline is image-to-video."""
        return "image" in inspect.signature(type(pipe).__call__).parameters

    def transformer_at(self, pipe: Any, timestep: float) -> Any:
        """Return the transformer that is in charge of a timestep (mixtures of experts have two)."""
        return next(iter(self.transformers(pipe).values()))

    def transformers(self, pipe: Any) -> dict[str, Any]:
        """Return the pipeline's transformers by component name (two for mixtures of experts)."""
        return {
            name: module
            for name, module in pipe.components.items()
            if any(c.__name__ == self.transformer_class for c in type(module).__mro__)
        }

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
