"""The sizes of published bases, so that a dry run of a recipe needs no network and no file of the base."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from videojam.families.presets import PRESETS
from videojam.models.configs import with_defaults

Config = dict[str, Any]


@dataclass(frozen=True)
class Published:
    """A pipeline by its classes, and by what its configs change in the defaults of these.

    Attributes:
        pipeline: Class of the pipeline.
        transformer: Class of its transformer.
        config: The transformer's.
        vae: Class of its autoencoder.
        vae_config: The autoencoder's.
        text: Configs of its text encoders by component, their class under `architectures`.
        scheduler: Class of its scheduler.
        guider: Class of its guider, if it has one.
        more: Further keys of model_index.json.
        connectors: Class of what turns its text encoder's states into the transformer's text, if it has some.
        experts: Names of its transformers.
    """

    pipeline: str
    transformer: str
    vae: str
    text: dict[str, Config]
    config: Config = field(default_factory=dict)
    vae_config: Config = field(default_factory=dict)
    scheduler: str = "FlowMatchEulerDiscreteScheduler"
    guider: str | None = None
    more: Config = field(default_factory=dict)
    connectors: str | None = None
    experts: tuple[str, ...] = ("transformer",)


_XXL = {"d_model": 4096, "d_ff": 10240, "d_kv": 64, "num_heads": 64, "num_layers": 24, "dtype": "bfloat16",
        "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}  # fmt: skip
UMT5 = {
    "text_encoder": {
        "model_type": "umt5",
        "architectures": ["UMT5EncoderModel"],
        "vocab_size": 256384,
        **_XXL,
    }
}
T5 = {"text_encoder": {"model_type": "t5", "architectures": ["T5EncoderModel"], "vocab_size": 32128, **_XXL}}
QWEN_AND_BYT5 = {
    "text_encoder": {
        "model_type": "qwen2_5_vl_text", "architectures": ["Qwen2_5_VLTextModel"], "dtype": "bfloat16",
        "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
        "num_key_value_heads": 4, "vocab_size": 152064,
    },
    "text_encoder_2": {
        "model_type": "t5", "architectures": ["T5EncoderModel"], "dtype": "bfloat16", "d_model": 1472, "d_ff": 3584,
        "d_kv": 64, "num_heads": 6, "num_layers": 12, "vocab_size": 1510, "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
    },
}  # fmt: skip
GEMMA_3 = {
    "text_encoder": {
        "model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"], "dtype": "bfloat16",
        "text_config": {
            "model_type": "gemma3_text", "hidden_size": 3840, "intermediate_size": 15360, "num_hidden_layers": 48,
            "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 256, "vocab_size": 262208,
        },
        "vision_config": {
            "model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304, "image_size": 896,
            "num_attention_heads": 16, "num_hidden_layers": 27, "patch_size": 14, "vision_use_head": False,
        },
    }
}  # fmt: skip
WAN_22_VAE = {
    "base_dim": 160, "decoder_base_dim": 256, "z_dim": 48, "is_residual": True, "patch_size": 2, "in_channels": 12,
    "out_channels": 12, "scale_factor_spatial": 16, "latents_mean": [0.0] * 48, "latents_std": [1.0] * 48,
}  # fmt: skip
"""Its means and deviations are no sizes, and are left out."""


def _wan(config: Config, **more: Any) -> Published:
    return Published("WanPipeline", "WanTransformer3DModel", "AutoencoderKLWan", UMT5, config, **more)


PUBLISHED: dict[str, Published] = {
    "Wan-AI/Wan2.1-T2V-1.3B-Diffusers": _wan({"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30}),
    "Wan-AI/Wan2.1-T2V-14B-Diffusers": _wan({}),
    "Wan-AI/Wan2.2-T2V-A14B-Diffusers": _wan(
        {}, more={"boundary_ratio": 0.875}, experts=("transformer", "transformer_2")
    ),
    "Wan-AI/Wan2.2-TI2V-5B-Diffusers": _wan(
        {
            "num_attention_heads": 24,
            "ffn_dim": 14336,
            "num_layers": 30,
            "in_channels": 48,
            "out_channels": 48,
        },
        vae_config=WAN_22_VAE,
        more={"expand_timesteps": True},
    ),
    "zai-org/CogVideoX-5b": Published(
        "CogVideoXPipeline",
        "CogVideoXTransformer3DModel",
        "AutoencoderKLCogVideoX",
        T5,
        {"num_attention_heads": 48, "num_layers": 42, "use_rotary_positional_embeddings": True},
        {"scaling_factor": 0.7},
        scheduler="CogVideoXDPMScheduler",
    ),
    "Lightricks/LTX-Video": Published(
        "LTXPipeline", "LTXVideoTransformer3DModel", "AutoencoderKLLTXVideo", T5
    ),
    "Lightricks/LTX-2": Published(
        "LTX2Pipeline",
        "LTX2VideoTransformer3DModel",
        "AutoencoderKLLTX2Video",
        GEMMA_3,
        # blocks that shrink only space or only time, which the class's own count takes for both
        vae_config={"spatial_compression_ratio": 32, "temporal_compression_ratio": 8},
        more={"audio_vae": ["diffusers", "AutoencoderKLLTX2Audio"], "vocoder": ["ltx2", "LTX2Vocoder"]},
        connectors="LTX2TextConnectors",
    ),
    "hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-480p_t2v": Published(
        "HunyuanVideo15Pipeline",
        "HunyuanVideo15Transformer3DModel",
        "AutoencoderKLHunyuanVideo15",
        QWEN_AND_BYT5,
        {"task_type": "t2v"},
        guider="ClassifierFreeGuidance",
    ),
    **{name: _wan(preset) for name, preset in PRESETS.items()},
}
"""By hub id, or by the name of a preset of `videojam init`."""


@contextmanager
def published_configs(base: str) -> Iterator[Path | None]:
    """Yield a folder with the configs of a published base for a while; None: it is none that is known here."""
    if base not in PUBLISHED or Path(base).is_dir():
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        _write(PUBLISHED[base], Path(folder))
        yield Path(folder)


def _write(published: Published, folder: Path) -> None:
    index: Config = {"_class_name": published.pipeline, **published.more}
    transformer = _whole(published.transformer, published.config)
    configs: dict[str, tuple[str, Config]] = {
        "vae": (published.vae, _whole(published.vae, published.vae_config)),
        **{name: (published.transformer, transformer) for name in published.experts},
        **{name: (config["architectures"][0], config) for name, config in published.text.items()},
    }
    for name, (class_name, config) in configs.items():
        index[name] = ["transformers" if name in published.text else "diffusers", class_name]
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(config))
        if name in published.text:
            index[name.replace("text_encoder", "tokenizer")] = ["transformers", "AutoTokenizer"]
    if published.connectors is not None:
        index["connectors"] = ["ltx2", published.connectors]
        (folder / "connectors").mkdir()
        config = {"_class_name": published.connectors}
        (folder / "connectors" / "config.json").write_text(json.dumps(config))
    for name, simple in (("scheduler", published.scheduler), ("guider", published.guider)):
        if simple is not None:
            index[name] = ["diffusers", simple]
            (folder / name).mkdir()
            (folder / name / f"{name}_config.json").write_text(json.dumps({"_class_name": simple}))
    (folder / "model_index.json").write_text(json.dumps(index))


def _whole(class_name: str, config: Config) -> Config:
    return {"_class_name": class_name, **with_defaults(class_name, config)}
