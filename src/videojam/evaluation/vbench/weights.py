"""Which weights VBench's parts use, and reading a local file of tensors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from safetensors.torch import load_file

from videojam.errors import VideoJamError
from videojam.misfits import reason
from videojam.strict import Strict


def vbench_cache() -> Path:
    """Return the folder where the official package keeps its downloads."""
    default = Path.home() / ".cache" / "vbench"
    return Path(os.environ.get("VBENCH_CACHE_DIR") or default)


class VBenchParts(Strict):
    """The networks of the six dimensions: hub ids or local paths."""

    dino: str = Field("facebook/dino-vitb16", description="subject consistency: hub id or folder")
    clip_background: str = Field(
        "openai/clip-vit-base-patch32", description="background consistency: hub id or folder"
    )
    clip_aesthetic: str = Field(
        "openai/clip-vit-large-patch14", description="aesthetic quality: hub id or folder"
    )
    aesthetic_head: Path = Field(
        default_factory=lambda: vbench_cache() / "aesthetic_model/emb_reader/sa_0_4_vit_l_14_linear.pth",
        description="LAION's linear head: a file",
    )
    raft: str = Field("C_T_V1", description="dynamic degree: a name of torchvision's, or a file")
    amt_code: Path | None = Field(None, description="motion smoothness: folder with networks/AMT-S.py")
    amt_weights: Path = Field(
        default_factory=lambda: vbench_cache() / "amt_model/amt-s.pth", description="AMT-S's weights: a file"
    )
    musiq: Path = Field(
        default_factory=lambda: vbench_cache() / "pyiqa_model/musiq_spaq_ckpt-358bb6af.pth",
        description="imaging quality: MUSIQ trained on SPAQ, a file (needs pyiqa)",
    )


def load_state(path: str | Path, what: str) -> dict[str, Any]:
    """Read a .safetensors or .pth file that holds only tensors (nothing else is unpickled).

    Args:
        path: The file.
        what: What it should be, for the error.

    Raises:
        VideoJamError: missing, unreadable, or with more than tensors in it.
    """
    path = Path(path)
    if not path.is_file():
        raise VideoJamError(
            expected=what,
            found="no such file",
            where=str(path),
            fix="Download it (docs/vbench.md has the sources and licences) and give its path.",
        )
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        raise VideoJamError(
            expected=f"{what}: a file that holds only tensors",
            found=reason(error) if isinstance(error, OSError) else "a file of another kind, or a damaged one",
            where=str(path),
            fix="Download it again, or save its state dict with safetensors.",
        ) from error
