"""Is motion used: does the true d help the appearance loss, and does the predicted d fit the clip it came with?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from videojam.data.encode import EncodedClip, read_batch
from videojam.models.load import LoadedModel
from videojam.motion.warp import follow
from videojam.objective.denoiser import Denoiser
from videojam.objective.draws import fixed_draws

CONDITIONS = ("true", "null", "other")


@torch.no_grad()
def appearance_losses_by_motion(
    model: LoadedModel, clips: list[EncodedClip], null_text: dict[str, Tensor], t: float
) -> dict[str, NDArray[np.float64]]:
    """Measure the appearance half of Eq. 6 at one time, given the true d, a null d, and another clip's d.

    Noise and times are the same in the three conditions; the other clip is the next one in the list.

    Args:
        model: Joint model.
        clips: Held-out clips.
        null_text: Denoiser keywords of the null text.
        t: The paper's time, 0 noise .. 1 data.

    Returns:
        For each condition, one loss a clip.
    """
    transformer = next(iter(model.family.transformers(model.pipeline).values()))
    denoiser = Denoiser(transformer, model.family, True, null_text)
    losses: dict[str, list[float]] = {condition: [] for condition in CONDITIONS}
    for i, clip in enumerate(clips):
        pair = read_batch([clip, clips[(i + 1) % len(clips)]], "cpu")
        rows = [0] * len(CONDITIONS)
        batch = pair._replace(
            x=pair.x[rows], d=pair.d[[0, 0, 1]], text={name: value[rows] for name, value in pair.text.items()}
        )
        draws = fixed_draws(i, 1, t, batch.x.shape[1:]).rows(rows)
        draws = replace(draws, drop_motion=torch.tensor([False, True, False]))
        appearance = denoiser.losses(batch, draws)[0]
        for condition, loss in zip(CONDITIONS, appearance.tolist(), strict=True):
            losses[condition].append(loss)
    return {condition: np.array(values) for condition, values in losses.items()}


def warp_errors(video: UInt8[Tensor, "t 3 h w"], flow: Float[Tensor, "t-1 2 h w"]) -> tuple[float, float]:
    """Compare how a flow, and how zero flow, explain a clip: mean |I_{i+1}(p + f_i(p)) − I_i(p)|, in 0..255.

    Only where the frames differ (by more than 24 levels in a channel, dilated by 2 px): elsewhere any flow
    near zero is as good as another.

    Args:
        video: Pixels.
        flow: (u, v) in px/frame from each frame to the next.

    Returns:
        (error with the flow, error with zero flow); zeros for a still clip.
    """
    now, after = video[:-1].float(), video[1:].float()
    moving = (after - now).abs().amax(dim=1, keepdim=True) > 24
    moving = torch.nn.functional.max_pool2d(moving.float(), 5, stride=1, padding=2) > 0
    if not moving.any():
        return 0.0, 0.0
    warped = follow(after, flow)
    mask = moving.expand_as(now)
    return float((warped - now).abs()[mask].mean()), float((after - now).abs()[mask].mean())
