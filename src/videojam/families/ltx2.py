"""LTX-2: video and sound in one transformer. Motion is the video branch's; the sound stays as the base makes it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.families.denoising import Conditioning, Generators
from videojam.families.ltx import LTXFamily
from videojam.families.stock import Config, Pipeline, Transformer

ORIGINAL_NAMES = (
    (r"^(audio_)?proj_in\.", r"\1patchify_proj."),
    (r"^(audio_)?time_embed\.", r"\1adaln_single."),
    (r"^(audio_)?prompt_adaln\.", r"\1prompt_adaln_single."),
    (r"^av_cross_attn_(video|audio)_scale_shift\.", r"av_ca_\1_scale_shift_adaln_single."),
    (r"^av_cross_attn_(?:video|audio)_(a2v|v2a)_gate\.", r"av_ca_\1_gate_adaln_single."),
    (r"\.(video|audio)_a2v_cross_attn_scale_shift_table$", r".scale_shift_table_a2v_ca_\1"),
    (r"\.norm_([qk])\.", r".\1_norm."),
    (r"^", "model.diffusion_model."),
)
"""From the names of diffusers to those of Lightricks' checkpoints."""
SOUND, SOUND_TEXT = "sound", "sound_text"
"""Names of the latents of sound `[B, L, D]`, and of the text that they read, among the conditions."""
FROZEN = ("audio", "av_cross_attn", "a2v_cross_attn", "keyframes_abs_pos_embedding")
"""In the names of what the video does not pass without sound: the sound branch, and the attention between the two."""
PLAIN_CFG: dict[str, Any] = {
    "stg_scale": 0.0,
    "audio_stg_scale": None,
    "modality_scale": 1.0,
    "audio_modality_scale": None,
    "guidance_rescale": 0.0,
    "audio_guidance_rescale": None,
    "audio_guidance_scale": None,
}
"""Arguments of the stock call that leave classifier-free guidance; None is the video's."""


@dataclass(frozen=True)
class LTX2Family(LTXFamily):
    """LTX-Video's conventions, with tokens of sound beside those of the video, and attention between the two.

    Training clips have no sound, and there is no latent of "no sound" that the network knows. So the attention
    between video and sound is off there (`isolate_modalities`), as in the trainer of the model's authors for clips
    without sound: the video branch by itself is trained, as a model of p(x, d | y), and the sound branch and that
    attention, which no gradient reaches, stay the base's. In sampling, the stock pipeline denoises both with the
    attention on. Inner-Guidance acts on the video's prediction; the sound is guided by text with the same scale.

    Attributes:
        with_sound: Whether texts are encoded for the sound too, as an explicit loop of sampling needs them.
    """

    transformer_class: str = "LTX2VideoTransformer3DModel"
    checkpoints: str = "LTX-2 (19B), video branch"
    image_pipelines: tuple[str, ...] = ()
    original_names: tuple[tuple[str, str], ...] = ORIGINAL_NAMES
    frozen: tuple[str, ...] = FROZEN
    fps: float = 24.0
    with_sound: bool = False

    def image_pipeline(self, pipe: Pipeline) -> Pipeline | None:
        """Return None: the image-to-video pipeline of LTX-2 is not carried."""
        return None

    def for_sampling(self) -> LTX2Family:
        """Return the family that encodes texts for the sound too."""
        return replace(self, with_sound=True)

    # --- text ---

    @torch.no_grad()
    def encode_prompts(
        self, pipe: Pipeline, prompts: list[str], max_sequence_length: int | None = None
    ) -> Conditioning:
        """Encode prompts by text encoder and connectors to `encoder_hidden_states`, its mask, and sound's states.

        One by one: the states of all 49 layers of the text encoder, of which one is kept, are in memory meanwhile.
        """
        length = max_sequence_length or self.default_sequence_length(pipe)
        _check_length(pipe, length)
        rows = [self._encode_prompt(pipe, prompt, length) for prompt in prompts]
        return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}

    def _encode_prompt(self, pipe: Pipeline, prompt: str, length: int) -> Conditioning:
        states, mask, _, _ = pipe.encode_prompt(
            prompt=[prompt],
            do_classifier_free_guidance=False,
            max_sequence_length=length,
            dtype=pipe.connectors.dtype,
        )
        of_video, of_sound, mask = pipe.connectors(states, mask, padding_side=pipe.tokenizer.padding_side)
        dtype = pipe.text_encoder.dtype  # of a stored text encoder bf16, half of what the connectors return
        text = {"encoder_hidden_states": of_video.to(dtype), "encoder_attention_mask": mask}
        return {**text, SOUND_TEXT: of_sound.to(dtype)} if self.with_sound else text

    def text_shapes(self, config: Config, length: int) -> dict[str, tuple[int, ...]]:
        """Return those of the states and their mask, as training reads them."""
        width = _text_width(config, "cross_attention_dim")
        return {"encoder_hidden_states": (length, width), "encoder_attention_mask": (length,)}

    def default(self, pipe: Pipeline, name: str) -> Any:
        """Return 121 frames where the stock call would let a network choose their number."""
        value = super().default(pipe, name)
        return 121 if value is None and name == "num_frames" else value

    # --- network ---

    def denoise(
        self, transformer: Transformer, xd_sigma: Tensor, sigma: Float[Tensor, " b"], cond: Conditioning
    ) -> Tensor:
        """Call LTX2VideoTransformer3DModel without sound at timestep 1000σ; returns ε − x (and ε − d).

        It wants a token of sound, which no token of the video attends to.
        """
        config, num = transformer.config, len(xd_sigma)
        text = xd_sigma.new_zeros(
            num, 1, _text_width(config, "audio_cross_attention_dim"), dtype=transformer.dtype
        )
        nothing = text.new_zeros(num, 1, config.audio_in_channels)
        sound = {"audio_hidden_states": nothing, "audio_encoder_hidden_states": text, "audio_num_frames": 1}
        return self._call(transformer, xd_sigma, sigma, cond, isolate_modalities=True, **sound)[0]

    def denoise_beside(
        self, transformer: Transformer, xd_sigma: Tensor, sigma: Float[Tensor, " b"], cond: Conditioning
    ) -> tuple[Tensor, Conditioning]:
        """Call the network as the stock pipeline does, with the sound that is among the conditions."""
        if SOUND not in cond:
            return super().denoise_beside(transformer, xd_sigma, sigma, cond)
        sound, dtype = cond[SOUND], transformer.dtype
        video, prediction = self._call(
            transformer, xd_sigma, sigma, cond,
            audio_hidden_states=sound.to(dtype),
            audio_encoder_hidden_states=cond[SOUND_TEXT].to(dtype),
            audio_encoder_attention_mask=cond["encoder_attention_mask"],
            audio_num_frames=sound.shape[1],
            use_cross_timestep=True,
        )  # fmt: skip
        return video, {SOUND: prediction}

    def _call(
        self, transformer: Transformer, xd_sigma: Tensor, sigma: Tensor, cond: Conditioning, **sound: Any
    ) -> tuple[Tensor, Tensor]:
        _, _, frames, height, width = xd_sigma.shape
        timestep = sigma * self.num_train_timesteps
        video, prediction = transformer(
            hidden_states=self.pack(transformer, xd_sigma.to(transformer.dtype)),
            encoder_hidden_states=cond["encoder_hidden_states"].to(transformer.dtype),
            encoder_attention_mask=cond["encoder_attention_mask"],
            timestep=timestep,
            sigma=timestep,
            num_frames=frames,
            height=height,
            width=width,
            fps=self.fps,
            return_dict=False,
            **sound,
        )
        return self.unpack(transformer, video, xd_sigma), prediction

    def draw_beside(self, pipe: Pipeline, generators: list[torch.Generator], num_frames: int) -> Conditioning:
        """Draw the noise of sound with the pipeline's own function: as many tokens as the clip lasts."""
        rate = pipe.audio_sampling_rate / pipe.audio_hop_length / pipe.audio_vae_temporal_compression_ratio
        config = pipe.audio_vae.config
        noise = pipe.prepare_audio_latents(
            len(generators),
            num_channels_latents=config.latent_channels,
            audio_latent_length=round(num_frames / self.fps * rate),
            num_mel_bins=config.mel_bins,
            dtype=torch.float32,
            device=pipe._execution_device,
            generator=generators,
        )
        return {SOUND: noise}

    # --- the stock pipeline ---

    def takes_image(self, pipe: Pipeline) -> bool:
        """Whether the stock pipeline is given frames: a first one, or any."""
        given = {"image", "conditions", "reference_conditions"}
        return not given.isdisjoint(inspect.signature(type(pipe).__call__).parameters)

    def stacks_passes(self, pipe: Pipeline, scale: float) -> bool:
        """Whether video or sound is guided by text, each by a scale of its own."""
        return bool(pipe.do_classifier_free_guidance)

    def check_call(self, pipe: Pipeline) -> None:
        """Refuse what would add passes of its own, or rescale x by what d is.

        Raises:
            VideoJamError: names the argument, and what to set.
        """
        for name in (
            "stg_scale",
            "audio_stg_scale",
            "modality_scale",
            "audio_modality_scale",
            "guidance_rescale",
        ):
            off = 1.0 if name.endswith("modality_scale") else 0.0
            value = getattr(pipe, name)
            if value > off:
                raise VideoJamError(
                    expected=f"{name} = {off:g}: under the guidance hook only classifier-free guidance runs beside",
                    found=f"{name} = {value:g}",
                    where=f"the call of {type(pipe).__name__}",
                    fix="Call it with stg_scale=0, audio_stg_scale=0, modality_scale=1, audio_modality_scale=1 and "
                    "guidance_rescale=0.",
                )

    def run_pipeline(
        self, pipe: Pipeline, latents: Tensor, generators: Generators, **arguments: Any
    ) -> Tensor:
        """Call the stock pipeline with classifier-free guidance only; the sound's noise follows that of x."""
        self._refuse_image(pipe)
        packed = self.pack(pipe.transformer, latents)
        with _given_latents(pipe, packed):
            out: Tensor = pipe(
                output_type="latent",
                frame_rate=self.fps,
                generator=generators[0],
                **PLAIN_CFG,
                **arguments,
            ).frames
        return out


@contextmanager
def _given_latents(pipe: Pipeline, packed: Tensor) -> Iterator[None]:
    """Let the pipeline begin with these latents for a while, and return them in the transformer's scale.

    Its call takes latents too, but draws noise for them and drops it, so that the sound's would be another; and it
    scales what it returns by C channels.
    """
    pipe.prepare_latents = lambda *args, **kwargs: packed
    pipe._denormalize_latents = lambda latents, *statistics: latents
    try:
        yield
    finally:
        del pipe.prepare_latents, pipe._denormalize_latents


def _text_width(config: Config, of_states: str) -> int:
    """Return the width of text: that of captions, or from LTX-2.3 on that of the branch which reads it."""
    return int(config["caption_channels" if config.get("use_prompt_embeddings", True) else of_states])


def _check_length(pipe: Pipeline, length: int) -> None:
    """Refuse a number of text tokens that the connectors don't fill up.

    Raises:
        VideoJamError: no multiple of their learned tokens.
    """
    multiple = pipe.connectors.config.video_connector_num_learnable_registers
    if multiple and length % multiple:
        raise VideoJamError(
            expected=f"a multiple of {multiple} text tokens, the connectors' learned ones",
            found=f"{length}",
            where="max_sequence_length",
            fix=f"Use {max(1, round(length / multiple)) * multiple}.",
        )
