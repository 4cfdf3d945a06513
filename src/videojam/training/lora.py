"""Low-rank adapters: put on a transformer, saved under the keys that stock diffusers loads, and loaded again."""

from __future__ import annotations

import json
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.families import Projections
from videojam.files import write_tensors
from videojam.models.check import read_json
from videojam.training.base_weights import as_float32
from videojam.training.config import LoraConfig

ADAPTERS_NAME = "pytorch_lora_weights.safetensors"
PROJECTIONS_NAME = "projections.safetensors"
PEFT_NAME = "adapter_model.safetensors"
"""What `PeftModel.from_pretrained` looks for, with `base_model.model.` before each key."""
PREFIX = "transformer"
"""What `pipeline.load_lora_weights` looks for before a key; without it, it loads nothing and only warns."""
ADAPTED = (torch.nn.Linear, torch.nn.Conv2d, torch.nn.Conv3d)


def check_targets(transformer: Any, lora: LoraConfig, family: Projections) -> None:
    """Refuse layers that the transformer does not have, before any clip is encoded.

    Raises:
        VideoJamError: names the first of `target_modules` that fits no layer, and near ones.
    """
    layers = {
        name
        for name, module in transformer.named_modules()
        if isinstance(module, ADAPTED) and not family.is_frozen(name)
    }
    for target in lora.target_modules:
        if not any(name == target or name.endswith(f".{target}") for name in layers):
            ends = {".".join(name.split(".")[start:]) for name in layers for start in (-1, -2)}
            ends = {end for end in ends if not end.replace(".", "").isdigit()}
            near = get_close_matches(target, sorted(ends), n=4, cutoff=0.4)
            raise VideoJamError(
                expected=f"names of layers of {type(transformer).__name__}",
                found=f"{target!r}, which the name of no linear layer that is trained ends with",
                where="lora.target_modules",
                fix=f"Take for instance {', '.join(near or ['to_q', 'to_k', 'to_v', 'to_out.0'])}.",
            )


def add_adapters(transformer: Any, lora: LoraConfig, seed: int, frozen: tuple[str, ...] = ()) -> None:
    """Freeze a transformer and put trainable adapters on its target layers; their start is a function of the seed.

    Args:
        transformer: It is changed.
        lora: Rank and layers.
        seed: Of the adapters.
        frozen: Parts of the names of layers that get none.
    """
    from peft import LoraConfig as PeftConfig

    transformer.requires_grad_(False)
    targets = list(lora.target_modules)
    if frozen:  # by their whole names: PEFT's own way to exclude some warns when the adapters are loaded
        targets = [
            name
            for name, module in transformer.named_modules()
            if isinstance(module, ADAPTED)
            and any(f".{name}".endswith(f".{target}") for target in targets)
            and not any(part in name for part in frozen)
        ]
    adapters = PeftConfig(r=lora.rank, lora_alpha=lora.alpha or lora.rank, target_modules=targets)
    with torch.random.fork_rng(), as_float32(transformer):  # and not of what the process has drawn before
        torch.manual_seed(seed)
        transformer.add_adapter(adapters)


def export_lora(transformer: Any, projections: dict[str, Tensor], out: Path) -> None:
    """Write `out/lora`: the adapters, the two projections beside them, and the transformer's config.

    `pipeline.load_lora_weights` of stock diffusers loads the adapters, and so does `PeftModel.from_pretrained`, from
    files of its own names; `load_lora` puts adapters and projections on a converted base.
    """
    from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY
    from peft import get_peft_model_state_dict

    folder = out / "lora"
    layers = get_peft_model_state_dict(transformer, adapter_name="default")
    facts = {
        f"{PREFIX}.{key}": sorted(value) if isinstance(value, set) else value
        for key, value in transformer.peft_config["default"].to_dict().items()
    }
    metadata = {"format": "pt", LORA_ADAPTER_METADATA_KEY: json.dumps(facts, indent=2, sort_keys=True)}
    named = {f"{PREFIX}.{key}": tensor for key, tensor in layers.items()}
    write_tensors(folder / ADAPTERS_NAME, _cpu(named), metadata)
    write_tensors(folder / PROJECTIONS_NAME, _cpu(projections))
    of_peft = {f"base_model.model.{key}": tensor for key, tensor in layers.items()}
    write_tensors(folder / PEFT_NAME, _cpu(of_peft), {"format": "pt"})
    transformer.peft_config["default"].save_pretrained(folder)
    transformer.save_config(folder)  # by which another base is refused


def load_lora(transformer: Any, folder: str | Path) -> None:
    """Put a run's adapters and projections on a freshly converted joint transformer, in place.

    Raises:
        VideoJamError: the files are missing or were made for another base.
    """
    from safetensors.torch import load_file

    folder = Path(folder)
    try:
        _check_same_base(transformer, folder)
        projections = load_file(folder / PROJECTIONS_NAME)
        own = transformer.state_dict()
        for name, tensor in projections.items():
            shape = list(own[name].shape) if name in own else "absent"
            if shape != list(tensor.shape):
                raise ValueError(f"{name} is {list(tensor.shape)} in the folder and {shape} in the model")
        prefix = _prefix_of(folder / ADAPTERS_NAME)
        transformer.load_lora_adapter(folder, weight_name=ADAPTERS_NAME, use_safetensors=True, prefix=prefix)
        transformer.load_state_dict(projections, strict=False)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise VideoJamError(
            expected="adapters and projections of a run on this base",
            found=" ".join(str(error).split())[:300],
            where=str(folder),
            fix="Take the lora folder of a run whose recipe names this base.",
        ) from error


def _prefix_of(file: Path) -> str | None:
    """Return what stands before the keys of a file; nothing in those of version 0.1."""
    with safe_open(file, framework="pt") as stored:
        return PREFIX if all(key.startswith(f"{PREFIX}.") for key in stored.keys()) else None  # noqa: SIM118


def _check_same_base(transformer: Any, folder: Path) -> None:
    """Refuse adapters of another architecture: what has no place in the model would be left out in silence.

    Raises:
        ValueError: names the first key of the config that differs.
    """
    own, theirs = json.loads(transformer.to_json_string()), read_json(folder / "config.json")
    for key in sorted((own.keys() | theirs.keys()) - {"_diffusers_version", "_name_or_path"}):
        if own.get(key) != theirs.get(key):
            raise ValueError(f"{key} is {theirs.get(key)} in the folder and {own.get(key)} in the model")


def _cpu(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
