"""Videos to latents and back: their scale, their sizes, the noise they start from, and the autoencoder."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.families.projections import Projections
from videojam.families.stock import Autoencoder, Pipeline


@dataclass(frozen=True)
class LatentCodec(Projections):
    """The latents of a base architecture, `[B, C, F, H, W]` here, also where the network's own layout is another.

    Attributes:
        size_unit: Multiple in px that the stock pipeline asks of both sides.
        fps: Frame rate of the base's clips.
    """

    size_unit: int = 16
    fps: float = 16.0

    def normalise(self, vae: Autoencoder, z: Tensor) -> Tensor:
        """Bring the autoencoder's latents to the unit scale of the transformer: z · scaling_factor."""
        return z * vae.config.scaling_factor

    def denormalise(self, vae: Autoencoder, z: Tensor) -> Tensor:
        """Invert `normalise`."""
        return z / vae.config.scaling_factor

    def compression(self, pipe: Pipeline) -> tuple[int, int]:
        """Return how many frames, and how many pixels of a side, one latent covers: the pipeline's factors."""
        return pipe.vae_scale_factor_temporal, pipe.vae_scale_factor_spatial

    def latent_shape(
        self, pipe: Pipeline, num_frames: int, height: int, width: int
    ) -> tuple[int, int, int, int]:
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
            below = max(num_frames - 1, 0) // temporal * temporal + 1
            above = below + temporal
            raise VideoJamError(
                expected=f"{temporal}·k + 1 frames",
                found=f"{num_frames}",
                where="num_frames",
                fix=f"Use {below} or {above}."
                if below > 1
                else f"Use {above}; 1 is a picture without motion.",
            )
        num_channels = self.vae_channels(pipe.vae.config)
        assert num_channels is not None
        return num_channels, (num_frames - 1) // temporal + 1, height // spatial, width // spatial

    def smallest_clip(self, pipe: Pipeline) -> tuple[int, int, int]:
        """Return (frames, height, width) in pixels of the smallest clip with motion that the base takes."""
        temporal, spatial = self.compression(pipe)
        config = self.first_transformer(pipe).config
        side = math.lcm(spatial * int(config.get("patch_size", 1)), self.size_unit)
        return temporal + 1, side, side

    def draw_noise(self, shape: tuple[int, ...], generators: list[torch.Generator]) -> Tensor:
        """Draw noise `[B, C, F, H, W]` as the stock pipeline does from these generators."""
        from diffusers.utils.torch_utils import randn_tensor

        return randn_tensor(shape, generator=generators, dtype=torch.float32)

    @torch.no_grad()
    def encode_video(self, pipe: Pipeline, video: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c f hl wl"]:
        """Encode a video in −1..1 to normalised latents (the posterior's mode, float32)."""
        return self.encode_posterior(pipe, video)[0]

    @torch.no_grad()
    def encode_posterior(
        self, pipe: Pipeline, video: Float[Tensor, "b 3 t h w"]
    ) -> tuple[Float[Tensor, "b c f hl wl"], Float[Tensor, "b c f hl wl"]]:
        """Encode a video in −1..1 to mean and deviation of its normalised latents, float32."""
        posterior = pipe.vae.encode(video.to(pipe.vae.device, pipe.vae.dtype)).latent_dist
        mode = posterior.mode().float()
        mean = self.normalise(pipe.vae, mode)
        # `normalise` is affine, so that the deviation is scaled by what it makes of a difference
        return mean, self.normalise(pipe.vae, mode + posterior.std.float()) - mean

    @torch.no_grad()
    def decode_video(
        self, pipe: Pipeline, z: Float[Tensor, "b c f hl wl"], num_frames: int | None = None
    ) -> Float[Tensor, "b 3 t h w"]:
        """Decode normalised latents to a video in −1..1 (float32).

        Args:
            pipe: Stock pipeline.
            z: Normalised latents.
            num_frames: Frames of the clip, where the latents are padded to more.
        """
        z = self.denormalise(pipe.vae, z.float()).to(pipe.vae.dtype)
        return pipe.vae.decode(z, return_dict=False)[0].float().clamp(-1, 1)


def channel_statistics(vae: Autoencoder, z: Tensor) -> tuple[Tensor, Tensor]:
    """Return an autoencoder's channel means and deviations (0 and 1 if none), shaped for `[B, C, F, H, W]`."""
    values = vae.config.latents_mean or [0.0], vae.config.latents_std or [1.0]
    mean, std = (torch.tensor(value, device=z.device, dtype=z.dtype).view(1, -1, 1, 1, 1) for value in values)
    return mean, std


def pixels_of(video: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Return a video in −1..1 as uint8."""
    return ((video + 1) * 127.5).round_().clamp_(0, 255).to(torch.uint8)


def video_of(pixels: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return uint8 pixels as a video in −1..1, float32."""
    return pixels.float().div_(127.5).sub_(1)
