"""A random pipeline of a preset of `families/presets.py`, written as a folder, to train from scratch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.families.presets import preset_config, transformer_of
from videojam.files import require_new, save_tensors, written_whole
from videojam.models.check import read_json
from videojam.models.resolve import resolve

FLOW_SHIFT = 3.0
"""Of the scheduler that `init_pipeline` writes: that of Wan at small sizes."""

BLOCK_PREFIX = "blocks.0."


def init_pipeline(
    name: str,
    out: str | Path,
    *,
    vae: str | Path,
    text_encoder: str | Path,
    seed: int = 0,
    dtype: torch.dtype = torch.bfloat16,
    overrides: dict[str, Any] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Write a WanPipeline folder with a preset's random transformer, to train from scratch.

    Autoencoder, text encoder and tokenizer are copied; channels and text width are read from their configs.
    Weights are drawn and written one block at a time, so that memory is about one block.

    Args:
        name: `dit-4b` or `dit-30b`.
        out: Folder to write; must not exist.
        vae: Pipeline folder or hub id that has `vae/` (AutoencoderKLWan), or that component's folder.
        text_encoder: Pipeline folder or hub id that has `text_encoder/` (UMT5EncoderModel) and `tokenizer/`.
        seed: Of the weights; block i is drawn from seed + i.
        dtype: Type of the weights.
        overrides: As for `preset_config`.
        progress: Called with a line for each file.

    Raises:
        VideoJamError: out exists, a component is missing or of another class, or there is no room.
    """
    out = Path(out)
    require_new(out)
    parts = {
        "vae": _component(vae, "vae", "AutoencoderKLWan"),
        "text_encoder": _component(text_encoder, "text_encoder", "UMT5EncoderModel"),
        "tokenizer": _component(text_encoder, "tokenizer", None),
    }
    num_channels = read_json(parts["vae"] / "config.json")["z_dim"]
    text_dim = read_json(parts["text_encoder"] / "config.json")["d_model"]
    fitting = {"in_channels": num_channels, "out_channels": num_channels, "text_dim": text_dim}
    config = preset_config(name, **fitting, **(overrides or {}))
    with written_whole(out) as temporary:
        temporary.mkdir()
        for part, folder in parts.items():
            shutil.copytree(folder, temporary / part)
        _write_scheduler_and_index(temporary)
        _write_transformer(temporary / "transformer", config, seed, dtype, progress or (lambda line: None))
    return out


def _component(source: str | Path, name: str, class_name: str | None) -> Path:
    """Return the folder of a component of a pipeline, or the folder itself where it is that component."""
    folder = resolve(source)
    if (folder / name).is_dir():
        folder = folder / name
    elif name == "tokenizer" or not (folder / "config.json").is_file():
        raise VideoJamError(
            expected=f"a pipeline folder with {name}/",
            found="no such component" if folder.is_dir() else "no such folder",
            where=str(folder),
            fix="Give a pipeline of Wan's, for instance Wan-AI/Wan2.1-T2V-1.3B-Diffusers.",
        )
    if class_name is not None:
        config = read_json(folder / "config.json")
        found = config.get("_class_name") or ", ".join(config.get("architectures") or ["no class"])
        if found != class_name:
            raise VideoJamError(
                expected=f"{class_name}, which WanPipeline takes",
                found=found,
                where=str(folder),
                fix="Give a pipeline of Wan's, for instance Wan-AI/Wan2.1-T2V-1.3B-Diffusers.",
            )
    return folder


def _write_scheduler_and_index(folder: Path) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler, __version__

    scheduler: Any = FlowMatchEulerDiscreteScheduler(shift=FLOW_SHIFT)
    scheduler.save_pretrained(folder / "scheduler")
    tokenizer = read_json(folder / "tokenizer" / "tokenizer_config.json").get("tokenizer_class")
    index = {
        "_class_name": "WanPipeline",
        "_diffusers_version": __version__,
        "boundary_ratio": None,
        "expand_timesteps": False,
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "UMT5EncoderModel"],
        "tokenizer": ["transformers", tokenizer or "AutoTokenizer"],
        "transformer": ["diffusers", "WanTransformer3DModel"],
        "transformer_2": [None, None],
        "vae": ["diffusers", "AutoencoderKLWan"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


def _write_transformer(
    folder: Path, config: dict[str, Any], seed: int, dtype: torch.dtype, progress: Callable[[str], None]
) -> None:
    """Write config, one shard a block, and the index; the class's own initialisation draws the weights."""
    with torch.device("meta"):
        whole = transformer_of(config)
    kept = tuple(whole._keep_in_fp32_modules or ())
    whole.save_config(folder)
    num_shards, total = config["num_layers"], 0
    weight_map: dict[str, str] = {}
    for number, tensors in enumerate(_drawn_blocks(config, seed)):
        file = f"diffusion_pytorch_model-{number + 1:05}-of-{num_shards:05}.safetensors"
        cast = {
            key: tensor if any(part in key.split(".") for part in kept) else tensor.to(dtype)
            for key, tensor in tensors.items()
        }
        save_tensors(cast, folder / file, {"format": "pt"})
        weight_map |= dict.fromkeys(cast, file)
        total += sum(tensor.nbytes for tensor in cast.values())
        progress(f"transformer/{file}")
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def _drawn_blocks(config: dict[str, Any], seed: int) -> Iterator[dict[str, Tensor]]:
    """Yield the tensors of each block, the first with everything outside the blocks.

    Each comes from a model of one block, so that no more than one block is in memory.
    """
    for number in range(config["num_layers"]):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + number)
            state = transformer_of(config | {"num_layers": 1}).state_dict()
        yield {
            key.replace(BLOCK_PREFIX, f"blocks.{number}."): tensor
            for key, tensor in state.items()
            if number == 0 or key.startswith(BLOCK_PREFIX)
        }
