"""Subject consistency (DINO) and background consistency (CLIP): how alike the frames of a clip are."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from videojam.errors import VideoJamError
from videojam.evaluation.vbench.preprocess import clip_input, dino_input

DINO_EPS = 1e-6
"""DINO's own layer norms; the configuration on the hub says 1e-12."""


def consistency(features: Float[Tensor, "t c"]) -> float:
    """Return the mean over frames 1.. of ½[cos(frame, previous) + cos(frame, first)], each clamped at 0.

    Args:
        features: One vector a frame.

    Raises:
        VideoJamError: fewer than two frames.
    """
    if len(features) < 2:
        raise VideoJamError(
            expected="two frames or more",
            found=str(len(features)),
            where="consistency",
            fix="Use a longer clip.",
        )
    features = functional.normalize(features.float(), dim=-1)
    to_previous = functional.cosine_similarity(features[1:], features[:-1]).clamp(min=0)
    to_first = functional.cosine_similarity(features[1:], features[:1]).clamp(min=0)
    return float(((to_previous + to_first) / 2).double().mean())


class DinoFeatures:
    """The class token of DINO ViT-B/16 (Caron et al., 2021, arXiv 2104.14294) for each frame.

    Args:
        weights: Hub id, or a folder in transformers' layout.
        device: Where to compute.
        batch_size: Frames at a time; the result does not depend on it.

    Raises:
        VideoJamError: weights that can't be loaded.
    """

    def __init__(
        self,
        weights: str | Path = "facebook/dino-vitb16",
        device: str | torch.device = "cpu",
        batch_size: int = 16,
    ) -> None:
        from transformers import ViTModel

        self.batch_size = batch_size
        self.network = load_pretrained(ViTModel, weights, add_pooling_layer=False, layer_norm_eps=DINO_EPS)
        self.network.to(device)
        embeddings = self.network.embeddings
        # transformers places the positions of other sizes slightly differently than DINO's own code.
        embeddings.interpolate_pos_encoding = partial(
            _positions, embeddings.position_embeddings, embeddings.patch_size
        )

    @torch.inference_mode()
    def __call__(self, video: UInt8[Tensor, "t 3 h w"]) -> Float[Tensor, "t c"]:
        """Return the features of each frame, on the network's device.

        Args:
            video: Pixels.
        """
        device = self.network.device
        outputs = [
            self.network(dino_input(frames.to(device)), interpolate_pos_encoding=True).last_hidden_state[:, 0]
            for frames in video.split(self.batch_size)
        ]
        return torch.cat(outputs)


class ClipFeatures:
    """The projected image embedding of a CLIP ViT (Radford et al., 2021, arXiv 2103.00020) for each frame.

    Args:
        weights: Hub id, or a folder in transformers' layout: ViT-B/32 for background consistency, ViT-L/14 for
            aesthetic quality.
        device: Where to compute, in float32 (the official code uses float16 on a GPU).
        batch_size: Frames at a time; the result does not depend on it.

    Raises:
        VideoJamError: weights that can't be loaded, or not OpenAI's activation (QuickGELU).
    """

    def __init__(self, weights: str | Path, device: str | torch.device = "cpu", batch_size: int = 16) -> None:
        from transformers import CLIPVisionModelWithProjection

        self.batch_size = batch_size
        self.network = load_pretrained(CLIPVisionModelWithProjection, weights).to(device)
        activation = self.network.config.hidden_act
        if activation != "quick_gelu":
            raise VideoJamError(
                expected="a CLIP with QuickGELU, as OpenAI's weights were trained",
                found=str(activation),
                where=str(weights),
                fix="Use openai/clip-vit-base-patch32 or openai/clip-vit-large-patch14, or a copy of them.",
            )

    @torch.inference_mode()
    def __call__(self, video: UInt8[Tensor, "t 3 h w"]) -> Float[Tensor, "t c"]:
        """Return the features of each frame, on the network's device.

        Args:
            video: Pixels.
        """
        device = self.network.device
        outputs = [
            self.network(clip_input(frames.to(device))).image_embeds
            for frames in video.split(self.batch_size)
        ]
        return torch.cat(outputs)


def load_pretrained(kind: Any, weights: str | Path, **options: object) -> Any:
    """Load a transformers model in float32 from a hub id or a local folder.

    Args:
        kind: Model class of transformers.
        weights: Hub id or folder.
        options: Passed to `from_pretrained`.

    Returns:
        The model, frozen and in eval mode.

    Raises:
        VideoJamError: nothing there, no network, or weights of another model.
    """
    try:
        network, info = kind.from_pretrained(
            str(weights), dtype=torch.float32, output_loading_info=True, **options
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise VideoJamError(
            expected=f"weights of {kind.__name__}: a hub id, or a folder with config.json and model.safetensors",
            found=f"{type(error).__name__}: {str(error).splitlines()[0]}",
            where=str(weights),
            fix="Connect once so that it can be downloaded, or give the path of a local copy.",
        ) from error
    if info["missing_keys"]:
        raise VideoJamError(
            expected=f"all weights of {kind.__name__}",
            found=f"{len(info['missing_keys'])} missing, such as {min(info['missing_keys'])}",
            where=str(weights),
            fix="This is another model or an incomplete copy; download it again.",
        )
    return network.eval().requires_grad_(False)


def _positions(positions: Tensor, patch_px: int, embeddings: Tensor, height: int, width: int) -> Tensor:
    """Resample the position embeddings as DINO does: by the factor (n + 0.1)/side, which shifts the samples."""
    rows, columns = height // patch_px, width // patch_px
    side = math.isqrt(positions.shape[1] - 1)
    if rows == columns == side:
        return positions
    grid = positions[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)
    factors = ((rows + 0.1) / side, (columns + 0.1) / side)
    grid = functional.interpolate(grid, scale_factor=factors, mode="bicubic")
    return torch.cat([positions[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)
