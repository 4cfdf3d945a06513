"""Dynamic degree: does a clip move? RAFT at about 8 fps, decided from as few pairs of frames as it takes."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional
from torchvision.models.optical_flow.raft import make_coords_grid, upsample_flow

from videojam.errors import VideoJamError
from videojam.evaluation.vbench.preprocess import pad_to_multiple
from videojam.motion.estimators import RAFT_SMALLEST_PX, RAFT_STRIDE_PX, RaftFlow

FPS = 8.0
NUM_UPDATES = 20
TOP_SHARE = 0.05


def frame_interval(fps: float | int) -> int:
    """Return which frames are kept for about 8 fps: every n-th.

    Args:
        fps: Of the clip. Python rounds half to even, as the official code does.
    """
    return max(1, round(fps / FPS))


def moving_threshold_px(height: int, width: int) -> float:
    """Return the flow, in px, that the fastest 5 % of a moving pair exceed: 6 · (short side)/256."""
    return 6.0 * (min(height, width) / 256.0)


def num_moving_needed(num_frames: int) -> int:
    """Return how many pairs of a dynamic clip move: round(4 N/16), half to even.

    Args:
        num_frames: N, after subsampling. Below 3 nothing is needed: a clip of two frames is always dynamic.
    """
    return round(4 * (num_frames / 16.0))


class DynamicDegree:
    """Decides whether clips are dynamic, with the same answer as VBench 0.1.5.

    Three things make it faster than the official loop: features of a frame are computed once, not once for each
    pair; only the last of 20 flows is upsampled; and it stops as soon as the answer is known.

    Args:
        weights: As for `RaftFlow`; torchvision's "C_T_V1" holds the weights of the official `raft-things.pth`.
        device: Where to compute.
        batch_size: Pairs at a time; the answer does not depend on it.

    Raises:
        VideoJamError: weights that can't be loaded.
    """

    def __init__(
        self,
        weights: str | Path | None = "C_T_V1",
        device: str | torch.device = "cpu",
        batch_size: int = 4,
    ) -> None:
        self.network = RaftFlow(weights, device).network
        self.device = torch.device(device)
        self.batch_size = batch_size

    def __call__(self, video: UInt8[Tensor, "t 3 h w"], fps: float | int) -> bool:
        """Decide.

        Args:
            video: Pixels; sides of 121 px or more (RAFT's correlation pyramid needs 16 feature pixels).
            fps: True frame rate of the clip.

        Raises:
            VideoJamError: fewer than two frames at 8 fps, or frames too small.
        """
        frames = _sampled(video, fps)
        threshold_px, needed = moving_threshold_px(*video.shape[-2:]), num_moving_needed(len(frames))
        moving, start, features = 0, 0, None
        num_pairs = len(frames) - 1
        while moving < needed <= moving + num_pairs - start:
            # No more pairs at a time than the fewest that could settle it either way.
            undecided = min(needed - moving, num_pairs - start - (needed - moving) + 1)
            count = min(self.batch_size, undecided)
            magnitudes, features = self._magnitudes(frames[start : start + count + 1], features)
            moving += int((magnitudes > threshold_px).sum())
            start += count
        return moving >= needed

    def magnitudes(self, video: UInt8[Tensor, "t 3 h w"], fps: float | int) -> Float[Tensor, " pairs"]:
        """Measure every pair: the mean flow of its fastest 5 % of pixels, in px.

        Args:
            video: Pixels; sides of 121 px or more.
            fps: True frame rate of the clip.

        Raises:
            VideoJamError: fewer than two frames at 8 fps, or frames too small.
        """
        frames, result, features = _sampled(video, fps), [], None
        for start in range(0, len(frames) - 1, self.batch_size):
            magnitudes, features = self._magnitudes(frames[start : start + self.batch_size + 1], features)
            result.append(magnitudes)
        return torch.cat(result)

    @torch.inference_mode()
    def _magnitudes(self, frames: Tensor, first: Tensor | None) -> tuple[Tensor, Tensor]:
        """Measure neighbouring frames; `first` are the features of the first one where they are known."""
        pixels = frames.to(self.device).float().div(127.5).sub(1)
        pixels, _ = pad_to_multiple(pixels, RAFT_STRIDE_PX)
        new = self.network.feature_encoder(pixels if first is None else pixels[1:])
        features = new if first is None else torch.cat([first, new])
        flow = self._flow(features[:-1], features[1:], self.network.context_encoder(pixels[:-1]))
        # VBench takes the share of the padded frame.
        top = int(flow.shape[-2] * flow.shape[-1] * TOP_SHARE)
        magnitudes = flow.square().sum(dim=1).sqrt().flatten(1).topk(top, dim=1).values.mean(dim=1)
        return magnitudes.cpu(), features[-1:]

    def _flow(self, now: Tensor, after: Tensor, context: Tensor) -> Tensor:
        """RAFT's recurrence (Teed and Deng, 2020, arXiv 2003.12039) on features that are already there."""
        network = self.network
        network.corr_block.build_pyramid(now, after)
        size = network.update_block.hidden_state_size
        hidden, context = torch.tanh(context[:, :size]), functional.relu(context[:, size:])
        start = make_coords_grid(len(now), *now.shape[-2:]).to(now.device)
        coords = start
        for _ in range(NUM_UPDATES):
            correlations = network.corr_block.index_pyramid(centroids_coords=coords)
            hidden, delta = network.update_block(hidden, context, correlations, coords - start)
            coords = coords + delta
        return upsample_flow(flow=coords - start, up_mask=network.mask_predictor(hidden))


def _sampled(video: Tensor, fps: float | int) -> Tensor:
    frames = video[:: frame_interval(fps)]
    if len(frames) < 2:
        raise VideoJamError(
            expected=f"two frames or more at {FPS:g} fps",
            found=f"{len(video)} frames at {fps:g} fps",
            where="dynamic degree",
            fix="Use a longer clip, or correct its frame rate.",
        )
    height, width = video.shape[-2:]
    smallest = RAFT_SMALLEST_PX - RAFT_STRIDE_PX + 1
    if min(height, width) < smallest:
        raise VideoJamError(
            expected=f"frames of {smallest} px or more on each side",
            found=f"{height}×{width}",
            where="dynamic degree (RAFT)",
            fix="Leave this dimension out, or judge clips of a larger size.",
        )
    return frames
