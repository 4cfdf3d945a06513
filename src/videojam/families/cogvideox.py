"""CogVideoX 1.0 (2B, 5B) and 1.5: v-prediction of a variance-preserving diffusion, latents `[B, F, C, H, W]`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.families.base import Family
from videojam.families.denoising import Conditioning, Generators
from videojam.families.first_frame import restarted, seeded, skip_image_noise
from videojam.families.projections import Layout
from videojam.families.stock import Autoencoder, Config, Pipeline, Scheduler, Transformer
from videojam.families.training_times import TrainingTimes


@dataclass(frozen=True)
class CogVideoXFamily(Family):
    """x_σ = √ᾱ·x + √(1−ᾱ)·ε, prediction v = √ᾱ·ε − √(1−ᾱ)·x, both by the scheduler's own functions.

    σ = (timestep + 1) / 1000 is the time, not the share of noise, so that uniform σ is the base's own
    distribution of training times. CogVideoX 1.5 covers two latent frames with a token: an odd number of them
    is padded in front by a copy of the first, and the pipeline drops that frame before decoding. The I2V input is
    `[x, d, condition]`.

    Attributes:
        scheduler: The pipeline's scheduler, which knows ᾱ.
        num_channels: C.
        image_is_sampled: Whether the stock call samples an image's latent before it draws noise.
    """

    transformer_class: str = "CogVideoXTransformer3DModel"
    input_projection: str = "patch_embed.proj"
    output_projection: str = "proj_out"
    output_layout: Layout = "c_outer"
    checkpoints: str = "CogVideoX 2B and 5B, CogVideoX 1.5 5B (T2V and I2V)"
    image_pipelines: tuple[str, ...] = ("CogVideoXImageToVideoPipeline",)
    prediction: str = "v, √ᾱ·ε − √(1−ᾱ)·x"
    channel_dim: int = 2
    batched_cfg: bool = True
    size_unit: int = 8
    fps: float = 8.0
    scheduler: Scheduler | None = field(default=None, compare=False, repr=False)
    num_channels: int = 16
    image_is_sampled: bool = False

    def for_pipeline(self, pipe: Pipeline) -> CogVideoXFamily:
        """Take the pipeline's scheduler, and the frame rate of the 1.5 models."""
        padded = self.first_transformer(pipe).config.patch_size_t is not None
        return replace(
            self,
            scheduler=pipe.scheduler,
            num_channels=pipe.vae.config.latent_channels,
            fps=16.0 if padded else 8.0,
            image_is_sampled=self.takes_image(pipe),
        )

    # --- latents ---

    def denormalise(self, vae: Autoencoder, z: Tensor) -> Tensor:
        """Compute z / scaling_factor, in the stock pipeline's order."""
        return 1 / vae.config.scaling_factor * z

    def latent_shape(
        self, pipe: Pipeline, num_frames: int, height: int, width: int
    ) -> tuple[int, int, int, int]:
        """Return (C, F, H, W), F padded to a multiple of the temporal patch."""
        channels, frames, *size = super().latent_shape(pipe, num_frames, height, width)
        return channels, frames + self._padding(pipe, frames), size[0], size[1]

    def draw_noise(self, shape: tuple[int, ...], generators: list[torch.Generator]) -> Tensor:
        """Draw noise in the stock order `[B, F, C, H, W]`, returned as `[B, C, F, H, W]`."""
        if self.image_is_sampled:
            skip_image_noise(generators, shape)
        batch, channels, frames, *size = shape
        return super().draw_noise((batch, frames, channels, *size), generators).transpose(1, 2)

    @torch.no_grad()
    def encode_posterior(
        self, pipe: Pipeline, video: Float[Tensor, "b 3 t h w"]
    ) -> tuple[Float[Tensor, "b c f hl wl"], Float[Tensor, "b c f hl wl"]]:
        """Encode a video; 1.5: the first latent frame is repeated in front if their number is odd."""
        mean, std = super().encode_posterior(pipe, video)
        return self._padded(pipe, mean), self._padded(pipe, std)

    def _padded(self, pipe: Pipeline, z: Tensor) -> Tensor:
        first = z[:, :, :1].expand(-1, -1, self._padding(pipe, z.shape[2]), -1, -1)
        return torch.cat([first, z], dim=2)

    @torch.no_grad()
    def decode_video(
        self, pipe: Pipeline, z: Float[Tensor, "b c f hl wl"], num_frames: int | None = None
    ) -> Float[Tensor, "b 3 t h w"]:
        """Decode latents, without the frames that pad them beyond the clip's length."""
        if num_frames is not None:
            z = z[:, :, z.shape[2] - ((num_frames - 1) // self.compression(pipe)[0] + 1) :]
        return super().decode_video(pipe, z)

    def _padding(self, pipe: Pipeline, num_latent_frames: int) -> int:
        patch_size_t = self.first_transformer(pipe).config.patch_size_t
        return -num_latent_frames % (patch_size_t or 1)

    # --- text ---

    @torch.no_grad()
    def encode_image(
        self,
        pipe: Pipeline,
        video: Float[Tensor, "b 3 t h w"],
        generators: list[torch.Generator] | None = None,
    ) -> Conditioning:
        """Encode first frames with the stock code to `condition`: the image's latent, then zeros.

        The stock call samples that latent; here with the generators as they are given.
        """
        self._refuse_image(pipe)
        if not self.takes_image(pipe):
            return {}
        num_clips, _, num_frames, height, width = video.shape
        channels, num_latents, *_ = self.latent_shape(pipe, num_frames, height, width)
        padded = (num_latents - 1) * self.compression(pipe)[0] + 1
        frames = video[:, :, 0].to(pipe._execution_device, pipe.vae.dtype)
        size, like = (padded, height, width), (frames.dtype, frames.device)
        generators = seeded(generators, num_clips)
        condition = pipe.prepare_latents(frames, num_clips, channels, *size, *like, generators)[1]
        return {"condition": condition.transpose(1, 2)}

    def image_shapes(self, config: Config, latent: tuple[int, int, int, int]) -> dict[str, tuple[int, ...]]:
        """Return that of `condition`."""
        return {"condition": latent}

    def default_sequence_length(self, pipe: Pipeline) -> int:
        """Return the length that the transformer was made for; its position table has that many rows."""
        return int(pipe.transformer.config.max_text_seq_length)

    def default(self, pipe: Pipeline, name: str) -> Any:
        """Return the transformer's own size where the call names none."""
        value = super().default(pipe, name)
        if value is None and name in ("height", "width"):
            return pipe.transformer.config[f"sample_{name}"] * pipe.vae_scale_factor_spatial
        if value is None and name == "num_frames":
            return pipe.transformer.config.sample_frames
        return value

    # --- time, target, network ---

    def _timesteps(self, sigma: Tensor) -> Tensor:
        return ((sigma * self.num_train_timesteps).round().long() - 1).clamp(0, self.num_train_timesteps - 1)

    def _alphas(self) -> Scheduler:
        if self.scheduler is None:
            raise VideoJamError(
                expected="the family of a loaded pipeline, whose scheduler knows the noise levels",
                found="the family of a class",
                where=self.transformer_class,
                fix="Use family_of(pipeline).",
            )
        return self.scheduler

    def mixture(self, sigma: float) -> tuple[float, float]:
        """Return (√ᾱ, √(1−ᾱ))."""
        alpha = float(self._alphas().alphas_cumprod[self._timesteps(torch.tensor(sigma))])
        return alpha**0.5, (1 - alpha) ** 0.5

    def noised(self, x: Tensor, eps: Tensor, sigma: Float[Tensor, " b"]) -> Tensor:
        """Noise clean latents with the scheduler: √ᾱ·x + √(1−ᾱ)·ε."""
        return self._alphas().add_noise(x, eps, self._timesteps(sigma))

    def target(self, x: Tensor, eps: Tensor, sigma: Float[Tensor, " b"]) -> Tensor:
        """Return the scheduler's velocity, √ᾱ·ε − √(1−ᾱ)·x."""
        return self._alphas().get_velocity(x, eps, self._timesteps(sigma))

    def min_snr_weight(self, sigma: Float[Tensor, " b"], gamma: float) -> Float[Tensor, " b"]:
        """Return min(SNR, γ) / (SNR + 1), which is min(ᾱ, γ·(1−ᾱ)) (Hang et al. 2023, for v-prediction)."""
        alphas = self._alphas().alphas_cumprod.float().to(sigma.device)[self._timesteps(sigma)]
        return torch.minimum(alphas, gamma * (1 - alphas))

    def training_times(self, scheduler: Scheduler) -> TrainingTimes:
        """Return uniform times, as the base's own training draws its timesteps."""
        return TrainingTimes("uniform")

    def pack(self, transformer: Transformer, latents: Tensor) -> Tensor:
        """Return `[B, C, F, H, W]` as `[B, F, C, H, W]`."""
        return latents.transpose(1, 2)

    def unpack(self, transformer: Transformer, hidden: Tensor, like: Tensor) -> Tensor:
        """Return `[B, F, C, H, W]` as `[B, C, F, H, W]`."""
        return hidden.transpose(1, 2)

    def denoise(
        self, transformer: Transformer, xd_sigma: Tensor, sigma: Float[Tensor, " b"], cond: Conditioning
    ) -> Tensor:
        """Call CogVideoXTransformer3DModel at timestep 1000σ − 1; returns v of x (and of d)."""
        dtype, ofs = transformer.dtype, None
        hidden = self.pack(transformer, xd_sigma.to(dtype))
        if "condition" in cond:
            hidden = torch.cat([hidden, self.pack(transformer, cond["condition"].to(dtype))], dim=2)
        if transformer.config.ofs_embed_dim is not None:
            ofs = hidden.new_full((1,), 2.0)  # the stock image-to-video call's
        prediction = transformer(
            hidden_states=hidden,
            timestep=self._timesteps(sigma),
            ofs=ofs,
            encoder_hidden_states=cond["encoder_hidden_states"].to(dtype),
            image_rotary_emb=_rotary(transformer, hidden),
            return_dict=False,
        )[0]
        return self.unpack(transformer, prediction, xd_sigma)

    def paper_times(self, scheduler: Scheduler) -> Float[Tensor, " steps"]:
        """Return t = 1 − (timestep + 1) / 1000."""
        return 1 - self.sigma_of(scheduler.timesteps.float().cpu())

    def sigma_of(self, timestep: Tensor) -> Tensor:
        """Return (timestep + 1) / 1000."""
        return (timestep + 1) / self.num_train_timesteps

    # --- sampling ---

    def stepper(
        self, scheduler: Scheduler, generators: Generators
    ) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        """Return DDIM's step, or DPM's, which remembers its last estimate and draws noise."""
        from diffusers import CogVideoXDPMScheduler

        if not isinstance(scheduler, CogVideoXDPMScheduler):
            return super().stepper(scheduler, generators)
        scheduler = _by_halves(scheduler, generators, self.num_channels)
        last: list[tuple[Tensor, Tensor]] = []

        def step(prediction: Tensor, timestep: Tensor, latents: Tensor) -> Tensor:
            estimate, before = last[-1] if last else (None, None)
            args = (prediction.transpose(1, 2), estimate, timestep, before, latents.transpose(1, 2))
            latents, estimate = scheduler.step(*args, return_dict=False)
            last.append((estimate, timestep))
            return latents.transpose(1, 2)

        return step

    def run_pipeline(
        self, pipe: Pipeline, latents: Tensor, generators: Generators, **arguments: Any
    ) -> Tensor:
        """Call the stock pipeline; DPM's noise is drawn for x as the base draws it, and for d apart.

        The I2V call takes half of the transformer's channels for C, which is right only for the base.
        """
        from diffusers import CogVideoXDPMScheduler

        own = pipe.scheduler
        if "image" in arguments:
            arguments["image"] = [arguments["image"]] * len(latents)
            arguments["generator"] = restarted(generators[0])
        if isinstance(own, CogVideoXDPMScheduler):
            pipe.scheduler = _by_halves(cast(Scheduler, own), generators, self.num_channels)
        try:
            # the stock call draws noise in the text encoder's type and never casts it for the network
            latents = latents.to(pipe.text_encoder.dtype)
            with _condition_of_channels(pipe, self.num_channels) if "image" in arguments else nullcontext():
                return super().run_pipeline(pipe, latents, generators, **arguments)
        finally:
            pipe.scheduler = own


def _rotary(transformer: Transformer, hidden: Tensor) -> Any:
    """Return the rotary tables, by the stock pipeline's own function; None for models that don't use them."""
    from diffusers import CogVideoXPipeline

    if not transformer.config.use_rotary_positional_embeddings:
        return None
    stand_in = SimpleNamespace(transformer=transformer, vae_scale_factor_spatial=1)  # sizes are in latents
    _, frames, _, height, width = hidden.shape
    return CogVideoXPipeline._prepare_rotary_positional_embeddings(
        stand_in, height, width, frames, hidden.device
    )


@contextmanager
def _condition_of_channels(pipe: Pipeline, num_channels: int) -> Iterator[None]:
    """Let the pipeline make its condition with C channels for a while, in the autoencoder's type."""
    stock = pipe.prepare_latents

    def prepare(image: Tensor, num_clips: int, _: int, *args: Any) -> tuple[Tensor, Tensor]:
        return stock(image.to(pipe.vae.dtype), num_clips, num_channels, *args)

    pipe.prepare_latents = prepare
    try:
        yield
    finally:
        del pipe.prepare_latents


def _by_halves(scheduler: Scheduler, generators: Generators, num_channels: int) -> Scheduler:
    """Return a DPM scheduler whose noise comes from x's generators for x, and from d's for d."""
    from diffusers import CogVideoXDPMScheduler

    class ByHalves(CogVideoXDPMScheduler):
        def step(
            self, output: Tensor, old: Tensor | None, timestep: Any, back: Any, sample: Tensor, **kwargs: Any
        ) -> tuple[Tensor, Tensor]:
            num = 2 if sample.shape[2] == 2 * num_channels else 1
            parts = []
            for half in range(num):
                old_half = None if old is None else old.chunk(num, dim=2)[half]
                sample_half = sample.chunk(num, dim=2)[half]
                own = {**kwargs, "generator": generators[half], "return_dict": False}
                args = (output.chunk(num, dim=2)[half], old_half, timestep, back, sample_half)
                parts.append(super().step(*args, **own))  # type: ignore[misc]
            samples, estimates = zip(*parts, strict=True)
            return torch.cat(samples, dim=2), torch.cat(estimates, dim=2)

    by_halves = ByHalves.from_config(scheduler.config)
    by_halves.__dict__.update(scheduler.__dict__)
    return by_halves
