"""Aesthetic quality (LAION's head on CLIP) and imaging quality (MUSIQ)."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from videojam.errors import VideoJamError
from videojam.evaluation.vbench.preprocess import musiq_input
from videojam.evaluation.vbench.weights import load_state
from videojam.optional import from_extra

AESTHETIC_TOP = 10.0
MUSIQ_TOP = 100.0


def load_aesthetic_head(path: str | Path, device: str | torch.device = "cpu") -> nn.Linear:
    """Read LAION's linear head, `sa_0_4_vit_l_14_linear.pth`, or one like it for another width.

    Args:
        path: A .pth or .safetensors file with `weight` [1, c] and `bias` [1].
        device: Where to put it.

    Raises:
        VideoJamError: missing or of other shapes.
    """
    state = load_state(path, "LAION's aesthetic head (sa_0_4_vit_l_14_linear.pth)")
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    width = shapes.get("weight", (0, 0))[-1]
    if shapes != {"weight": (1, width), "bias": (1,)} or not width:
        raise VideoJamError(
            expected="a linear head: weight [1, c] and bias [1]",
            found=str(shapes),
            where=str(path),
            fix="Download sa_0_4_vit_l_14_linear.pth of LAION's aesthetic-predictor.",
        )
    head = nn.Linear(width, 1)
    head.load_state_dict(state)
    return head.eval().requires_grad_(False).to(device)


@torch.inference_mode()
def aesthetic_quality(features: Float[Tensor, "t c"], head: nn.Linear) -> float:
    """Return the mean over frames of head(f/|f|)/10.

    Args:
        features: CLIP ViT-L/14's projected embeddings.
        head: LAION's.

    Raises:
        VideoJamError: features of another width than the head's.
    """
    if features.shape[-1] != head.in_features:
        raise VideoJamError(
            expected=f"features of width {head.in_features}, as the aesthetic head takes",
            found=str(features.shape[-1]),
            where="aesthetic quality",
            fix="Use the head with CLIP ViT-L/14.",
        )
    scores = head(functional.normalize(features.float(), dim=-1))
    return float(scores.double().mean()) / AESTHETIC_TOP


def load_musiq(path: str | Path, device: str | torch.device = "cpu") -> nn.Module:
    """Build pyiqa's MUSIQ (Ke et al., 2021, arXiv 2108.05997) with the SPAQ checkpoint.

    Args:
        path: `musiq_spaq_ckpt-358bb6af.pth`.
        device: Where to compute.

    Raises:
        VideoJamError: pyiqa is not installed, or the file is missing or does not fit.
    """
    without = "leave this dimension out (pyiqa's licence is non-commercial)"
    with from_extra("pyiqa, which holds MUSIQ", "pyiqa", "imaging quality", without):
        from pyiqa.archs.musiq_arch import MUSIQ
    if not Path(path).is_file():
        load_state(path, "MUSIQ's SPAQ checkpoint")  # reports that it is missing
    try:
        network = MUSIQ(pretrained_model_path=str(path))
    except Exception as error:
        raise VideoJamError(
            expected="MUSIQ's SPAQ checkpoint",
            found=f"{type(error).__name__}: {error}",
            where=str(path),
            fix="Download musiq_spaq_ckpt-358bb6af.pth of IQA-PyTorch again.",
        ) from error
    return network.eval().requires_grad_(False).to(device)


@torch.inference_mode()
def imaging_quality(video: UInt8[Tensor, "t 3 h w"], network: nn.Module, batch_size: int = 8) -> float:
    """Return MUSIQ's mean over frames divided by 100: 0..1, as VBench's aggregate.

    Args:
        video: Pixels.
        network: MUSIQ: [n, 3, h, w] in 0..1 to n scores in 0..100.
        batch_size: Frames at a time; the result does not depend on it.
    """
    device = next(network.parameters()).device
    scores = [
        network(musiq_input(frames.to(device))).flatten().double().cpu() for frames in video.split(batch_size)
    ]
    return float(torch.cat(scores).mean()) / MUSIQ_TOP
