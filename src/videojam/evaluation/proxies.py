"""A sanity panel of optical flow for real clips: proxies, never a headline.

Flow can't tell coherent motion from smooth nonsense: a half-frozen clip is smoother than the truth, and one in which
an object vanishes no less smooth. So the measures stand beside each other, and beside dynamic degree.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.evaluation.judge import Measure
from videojam.evaluation.vbench.dynamic_degree import (
    TOP_SHARE,
    frame_interval,
    moving_threshold_px,
    num_moving_needed,
)
from videojam.motion.estimators import FlowEstimator, build_estimator

MEASURES = (
    Measure(name="proxy_dynamic", title="dynamic (proxy)", kind="share"),
    Measure(name="proxy_speed", title="speed (proxy)", unit="short sides/s"),
    Measure(name="proxy_acceleration", title="acceleration (proxy)"),
    Measure(name="proxy_frozen_tail_s", title="frozen tail (proxy)", kind="seconds"),
    Measure(name="proxy_cuts", title="cuts (proxy)", kind="count"),
)

STILL_LEVELS = 0.5
"""Frames that differ by less than this on average, of 255 levels, are taken as the same: a codec's noise."""

CUT_SHARE = 0.35
CUT_JUMP = 4.0
"""A cut exchanges this share of a frame's colours, and so many times what frames of the clip usually do."""


class ProxyJudge:
    """Five proxies of motion, from one flow of the clip.

    - `proxy_dynamic`: VBench's dynamic degree, with this estimator (0 or 1).
    - `proxy_speed`: mean speed of the fastest 5 % of pixels, in short sides a second.
    - `proxy_acceleration`: mean change of flow from one pair of frames to the next over mean speed, followed along
      the motion; 0 is uniform motion, about √2 is random. NaN where nothing moves.
    - `proxy_frozen_tail_s`: for how long the last frame stands still at the end, in s.
    - `proxy_cuts`: how many cuts.

    Args:
        estimator: DIS (no weights, grey values, misses fast small parts) or RAFT.

    Raises:
        VideoJamError: an unknown estimator.
    """

    measures = MEASURES
    note = (
        "Proxies are a sanity panel of classical flow, to be read together: a clip that freezes half-way is smoother "
        "than the truth. None of them says which arm is better."
    )

    def __init__(self, estimator: FlowEstimator | str = "dis") -> None:
        self.estimator = build_estimator(estimator) if isinstance(estimator, str) else estimator
        self.name = f"proxies-{self.estimator.name}"

    def score(self, video: UInt8[Tensor, "t 3 h w"], fps: float | int, prompt: str) -> dict[str, float]:
        """Measure a clip.

        Args:
            video: Pixels.
            fps: True frame rate.
            prompt: Not used: a proxy sees pixels alone.

        Raises:
            VideoJamError: fewer than three frames.
        """
        if len(video) < 3:
            raise VideoJamError(
                expected="three frames or more",
                found=str(len(video)),
                where=self.name,
                fix="Use a longer clip.",
            )
        fps, short_px = float(fps), min(video.shape[-2:])
        flow = self.estimator(video)
        interval = frame_interval(fps)
        sampled = video[::interval]
        slow = flow if interval == 1 else self.estimator(sampled) if len(sampled) > 1 else flow[:0]
        num_moving = int((top_speed(slow) > moving_threshold_px(*video.shape[-2:])).sum())
        return {
            "proxy_dynamic": float(len(slow) > 0 and num_moving >= num_moving_needed(len(sampled))),
            "proxy_speed": float(top_speed(flow).mean()) * fps / short_px,
            "proxy_acceleration": relative_acceleration(flow),
            "proxy_frozen_tail_s": frozen_tail(video) / fps,
            "proxy_cuts": float(len(cuts(video))),
        }


def top_speed(flow: Float[Tensor, "pairs 2 h w"]) -> Float[Tensor, " pairs"]:
    """Return the mean speed of the fastest 5 % of pixels of each pair, in px/frame.

    Args:
        flow: (u, v) in px/frame.
    """
    speed = flow.norm(dim=1).flatten(1)
    return speed.topk(max(1, int(speed.shape[1] * TOP_SHARE)), dim=1).values.mean(dim=1)


def relative_acceleration(flow: Float[Tensor, "pairs 2 h w"]) -> float:
    """Return mean |f_{i+1}(p + f_i(p)) − f_i(p)| / mean |f_i(p)| where something moves (≥ ½ px/frame).

    Args:
        flow: (u, v) in px/frame.

    Returns:
        NaN if nothing moves.
    """
    now, after = flow[:-1], flow[1:]
    moving = now.norm(dim=1) >= 0.5
    height, width = flow.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x, y = columns + now[:, 0], rows + now[:, 1]
    # What leaves the frame has no next flow.
    moving &= (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    if not moving.any():
        return float("nan")
    places = torch.stack([x * 2 / max(width - 1, 1) - 1, y * 2 / max(height - 1, 1) - 1], dim=-1)
    followed = torch.nn.functional.grid_sample(after, places, padding_mode="border", align_corners=True)
    change = (followed - now).norm(dim=1)[moving]
    return float(change.mean() / now.norm(dim=1)[moving].mean())


def frozen_tail(video: UInt8[Tensor, "t 3 h w"]) -> int:
    """Return how many frames at the end repeat the frame before them.

    Args:
        video: Pixels.
    """
    still = _differences(video) < STILL_LEVELS
    moving = (~still).nonzero()
    return len(still) - 1 - int(moving[-1]) if len(moving) else len(still)


def cuts(video: UInt8[Tensor, "t 3 h w"]) -> list[int]:
    """Return the frames that begin a new shot.

    A cut exchanges a large share of the colours at once (histograms of 4×4×4 bins), and far more than frames of
    the clip usually do. A flash of one frame goes back to what was before, so it is none; a cut between scenes of
    the same colours is missed.

    Args:
        video: Pixels.
    """
    bins = (video.long() // 64 * torch.tensor([16, 4, 1])[:, None, None]).sum(dim=1).flatten(1)
    shares = torch.zeros(len(video), 64).scatter_add_(1, bins, torch.ones(bins.shape)) / bins.shape[1]
    exchanged = _exchanged(shares, 1)
    threshold = max(CUT_SHARE, CUT_JUMP * float(exchanged.median()))
    # Whether frame i + 2 has gone back to the colours of frame i: then frame i + 1 was a flash.
    flash = torch.zeros(len(video), dtype=torch.bool)
    flash[1:-1] = _exchanged(shares, 2) < CUT_SHARE
    return [
        i for i in range(1, len(video)) if exchanged[i - 1] > threshold and not (flash[i] or flash[i - 1])
    ]


def _exchanged(shares: Tensor, step: int) -> Tensor:
    """Which share of the colours differs between frames that are so many steps apart."""
    return (shares[step:] - shares[:-step]).abs().sum(dim=1) / 2


def _differences(video: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring frames, in levels."""
    return (video[1:].float() - video[:-1].float()).abs().mean(dim=(1, 2, 3))
