"""What text encoders weigh, from their configs."""

from __future__ import annotations

from pathlib import Path

import torch

from videojam.models.check import pipeline_components, read_json

BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}


def text_encoder_bytes(folder: Path) -> int | None:
    """Count the bytes of a pipeline's text encoders in the type that their configs name, and of connectors in float32.

    Args:
        folder: Pipeline folder, with configs and perhaps no weights.

    Returns:
        Bytes; None where a config names no type, or no class of the installed transformers.
    """
    names = pipeline_components(folder)
    sizes = [_bytes(folder / name / "config.json") for name in names if name.startswith("text_encoder")]
    if "connectors" in names:
        sizes.append(_bytes_of_connectors(folder / "connectors" / "config.json"))
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _bytes(path: Path) -> int | None:
    import transformers

    content = read_json(path)
    stock = getattr(transformers, next(iter(content.get("architectures") or []), ""), None)
    size = BYTES.get(content.get("dtype") or content.get("torch_dtype") or "")
    if stock is None or size is None:
        return None
    with torch.device("meta"):  # keeps embeddings tied, which accelerate's way doesn't
        module = stock(stock.config_class.from_dict(content))
    return size * sum(parameter.numel() for parameter in module.parameters())


def _bytes_of_connectors(path: Path) -> int:
    from diffusers.pipelines.ltx2 import LTX2TextConnectors

    with torch.device("meta"):
        module = LTX2TextConnectors.from_config(read_json(path))
    return BYTES["float32"] * sum(parameter.numel() for parameter in module.parameters())
