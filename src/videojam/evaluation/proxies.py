"""A sanity panel of optical flow for real clips: proxies, never a headline.

Flow can't distinguish coherent motion from smooth nonsense: a half-frozen clip is smoother than the truth, and one in
which an object vanishes is as smooth as the truth. So the measures stand beside each other, and beside dynamic degree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from videojam.data.cuts import histogram
from videojam.errors import VideoJamError
from videojam.evaluation.judge import Measure
from videojam.evaluation.vbench.dynamic_degree import (
    TOP_SHARE,
    frame_interval,
    moving_threshold_px,
    num_moving_needed,
)
from videojam.motion.estimators import FlowEstimator, build_estimator
from videojam.motion.warp import follow

MEASURES = (
    Measure(name="proxy_dynamic", title="dynamic (proxy)", kind="share"),
    Measure(name="proxy_speed", title="speed (proxy)", unit="short sides/s"),
    Measure(name="proxy_acceleration", title="acceleration (proxy)"),
    Measure(name="proxy_frozen_tail_s", title="frozen tail (proxy)", kind="seconds"),
    Measure(name="proxy_cuts", title="cuts (proxy)", kind="count"),
)

STILL_LEVELS = 0.5
"""Frames that differ by less than this on average, of 255 levels, are taken as the same: a codec's noise."""

PAIRS_AT_A_TIME = 4
"""RAFT's batch, so that no figure depends on it."""

CUT_SHARE = 0.35
CUT_JUMP = 4.0
"""A cut exchanges this share of a frame's colours, and so many times what frames of the clip usually do."""


class ProxyJudge:
    """Five proxies of motion, from one flow of the clip; it is measured and used up a few pairs of frames at a time.

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
            prompt: Not used: a proxy sees only pixels.

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
        interval = frame_interval(fps)
        speeds: list[Tensor] = []
        acceleration = relative_acceleration(self._flows(video, speeds))
        sampled, slow = video[::interval], speeds
        if interval > 1:
            slow = []
            for _ in self._flows(sampled, slow):
                pass
        threshold_px = moving_threshold_px(*video.shape[-2:])
        num_moving = sum(int((some > threshold_px).sum()) for some in slow)
        return {
            "proxy_dynamic": float(len(slow) > 0 and num_moving >= num_moving_needed(len(sampled))),
            "proxy_speed": float(torch.cat(speeds).mean()) * fps / short_px,
            "proxy_acceleration": acceleration,
            "proxy_frozen_tail_s": frozen_tail(video) / fps,
            "proxy_cuts": float(len(cuts(video))),
        }

    def _flows(self, video: UInt8[Tensor, "t 3 h w"], speeds: list[Tensor]) -> Iterator[Tensor]:
        """Yield the flow [2, h, w] of each pair of frames in turn, after adding its top speed to `speeds`."""
        for start in range(0, len(video) - 1, PAIRS_AT_A_TIME):
            flow = self.estimator(video[start : start + PAIRS_AT_A_TIME + 1])
            speeds.append(top_speed(flow))
            yield from flow


def top_speed(flow: Float[Tensor, "pairs 2 h w"]) -> Float[Tensor, " pairs"]:
    """Return the mean speed of the fastest 5 % of pixels of each pair, in px/frame.

    Args:
        flow: (u, v) in px/frame.
    """
    speed = flow.norm(dim=1).flatten(1)
    return speed.topk(max(1, int(speed.shape[1] * TOP_SHARE)), dim=1).values.mean(dim=1)


def relative_acceleration(flows: Iterable[Float[Tensor, "2 h w"]]) -> float:
    """Return mean |f_{i+1}(p + f_i(p)) − f_i(p)| / mean |f_i(p)| where something moves (≥ ½ px/frame).

    Args:
        flows: (u, v) in px/frame of each pair of frames in turn; two are held at a time.

    Returns:
        NaN if nothing moves.
    """
    changes = speeds = 0.0
    for now, after in pairwise(flows):
        speed = now.norm(dim=0)
        height, width = speed.shape
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        x, y = columns + now[0], rows + now[1]
        # What leaves the frame has no next flow.
        moving = (speed >= 0.5) & (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
        if not moving.any():
            continue
        followed = follow(after[None], now[None])[0]
        changes += float((followed - now).norm(dim=0)[moving].double().sum())
        speeds += float(speed[moving].double().sum())
    return changes / speeds if speeds else float("nan")


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
    shares = torch.stack([histogram(frame) for frame in video])
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
    return torch.stack([(b.float() - a.float()).abs().mean() for a, b in pairwise(video)])
