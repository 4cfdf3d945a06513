"""Optical flow between neighbouring frames, behind one small interface."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from videojam import fingerprints
from videojam.errors import VideoJamError
from videojam.misfits import reason

# RAFT's encoder divides the size by 8, and its correlation pyramid then halves it three times more.
RAFT_STRIDE_PX = 8
RAFT_SMALLEST_PX = 128
# OpenCV refuses sides below 12 px and crashes on 12 × 200.
DIS_SMALLEST_PX = 32


@runtime_checkable
class FlowEstimator(Protocol):
    """Anything that measures the flow of a video.

    Attributes:
        name: Its name in a motion code.
    """

    name: str

    def __call__(self, video: UInt8[Tensor, "num_frames 3 h w"]) -> Float[Tensor, "num_flows 2 h w"]:
        """Measure flow from each frame to the next.

        Args:
            video: uint8 RGB, T ≥ 2 frames.

        Returns:
            T-1 flows (u, v) in px/frame on the CPU, u right, v down, each on the grid of its first frame.
        """
        ...


class RaftFlow:
    """RAFT (Teed and Deng, 2020, arXiv 2003.12039), torchvision's `raft_large`: the paper's estimator.

    Args:
        weights: A torchvision name ("C_T_V1", downloaded once), the path of a .safetensors or .pth state dict
            (nothing is unpickled), or None for random weights (tests).
        device: Where to compute.
        batch_size: Frame pairs at a time; the result does not depend on it.
        num_updates: Recurrent refinements; torchvision's default is 12.
        half: Compute in fp16 on a GPU, in bf16 elsewhere; parameters and flow stay fp32.

    Raises:
        VideoJamError: If the weights cannot be downloaded, read, or do not fit.
    """

    name = "raft"
    """Other weights than torchvision's C_T_V1 add to it, as a cache of flow is known by it."""

    def __init__(
        self,
        weights: str | Path | None = "C_T_V1",
        device: str | torch.device = "cpu",
        batch_size: int = 4,
        num_updates: int = 12,
        *,
        half: bool = False,
    ) -> None:
        self.name = _name_of("raft", weights, half=half)
        self.half = half
        self.device = torch.device(device)
        self.batch_size = batch_size
        self.num_updates = num_updates
        from torchvision.models.optical_flow import raft_large  # seconds, which reading and DIS don't need

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = raft_large(weights=None)
        if weights is not None:
            _load_raft(network, weights)
        self.network = network.eval().requires_grad_(False).to(self.device)

    @torch.no_grad()
    def __call__(self, video: UInt8[Tensor, "num_frames 3 h w"]) -> Float[Tensor, "num_flows 2 h w"]:
        """Measure flow; see `FlowEstimator`."""
        _check_video(video)
        height, width = video.shape[-2:]
        left, right = _margins(width, RAFT_SMALLEST_PX, RAFT_STRIDE_PX)
        top, bottom = _margins(height, RAFT_SMALLEST_PX, RAFT_STRIDE_PX)
        flows = []
        for i in range(0, len(video) - 1, self.batch_size):
            frames = video[i : i + self.batch_size + 1].to(self.device).float().div(127.5).sub(1)
            frames = functional.pad(frames, (left, right, top, bottom), mode="replicate")
            kind = self.device.type
            dtype = torch.float16 if kind == "cuda" else torch.bfloat16
            with torch.autocast(kind, dtype, enabled=self.half):
                flow = self.network(frames[:-1], frames[1:], num_flow_updates=self.num_updates)[-1]
            flows.append(flow[..., top : top + height, left : left + width].float().cpu())
        return torch.cat(flows)


class DisFlow:
    """DIS (Kroeger et al., 2016, arXiv 1603.03590) of OpenCV: no weights, fast on a CPU, grey values only."""

    name = "dis"

    def __init__(self) -> None:
        self.matcher = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(self, video: UInt8[Tensor, "num_frames 3 h w"]) -> Float[Tensor, "num_flows 2 h w"]:
        """Measure flow; see `FlowEstimator`."""
        _check_video(video)
        height, width = video.shape[-2:]
        left, right = _margins(width, DIS_SMALLEST_PX)
        top, bottom = _margins(height, DIS_SMALLEST_PX)
        images = video.cpu().permute(0, 2, 3, 1).contiguous().numpy()
        grey = [
            cv2.copyMakeBorder(
                cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), top, bottom, left, right, cv2.BORDER_REPLICATE
            )
            for image in images
        ]
        flows = [self.matcher.calc(a, b, np.zeros((*a.shape, 2), np.float32)) for a, b in pairwise(grey)]
        flow = torch.from_numpy(np.stack(flows)).permute(0, 3, 1, 2)
        return flow[..., top : top + height, left : left + width].contiguous()


class OnFirstUse:
    """An estimator that is built when it first measures: clips with exact flow need no weights.

    Args:
        name: "raft" or "dis"; "exact" is refused when it first has to measure.
        weights: As in `build_estimator`.
        device: As in `build_estimator`.
        half: As in `build_estimator`.
    """

    def __init__(
        self,
        name: str,
        weights: str | Path | None = "C_T_V1",
        device: str | torch.device = "cpu",
        *,
        half: bool = False,
    ) -> None:
        self.name = _name_of(name, weights, half=half)
        self._kind, self._weights, self._device, self._half = name, weights, device, half
        self._built: FlowEstimator | None = None

    def build(self) -> FlowEstimator:
        """Build it now, where weights that are missing or can't be downloaded should stop a run at its start.

        Raises:
            VideoJamError: as `build_estimator`.
        """
        if self._built is None:
            self._built = build_estimator(self._kind, self._weights, self._device, half=self._half)
        return self._built

    def __call__(self, video: UInt8[Tensor, "num_frames 3 h w"]) -> Float[Tensor, "num_flows 2 h w"]:
        """Measure flow; see `FlowEstimator`."""
        return self.build()(video)


def _name_of(name: str, weights: str | Path | None, *, half: bool = False) -> str:
    """Return a name that other weights and precision change, as the flow does; by it a cache of flow is known."""
    if name == "raft" and half:
        return f"{_name_of(name, weights)} half"
    if name != "raft" or str(weights) == "C_T_V1":
        return name
    if weights is None or not Path(weights).is_file():
        return f"{name} {weights}"
    return f"{name} {fingerprints.of_file(Path(weights))[:16]}"


def build_estimator(
    name: str,
    weights: str | Path | None = "C_T_V1",
    device: str | torch.device = "cpu",
    *,
    half: bool = False,
) -> FlowEstimator:
    """Build the estimator that a motion code names.

    Args:
        name: "raft" or "dis".
        weights: Of RAFT; DIS has none.
        device: Where RAFT computes; DIS computes on the CPU.
        half: RAFT computes in half precision.

    Raises:
        VideoJamError: If the name is unknown, or "exact", whose flow is not estimated but comes with clips.
    """
    if name == "raft":
        return RaftFlow(weights, device, half=half)
    if name == "dis":
        return DisFlow()
    if name == "exact":
        raise VideoJamError(
            expected="a source that provides its own flow (the procedural world, or clips with a flow file)",
            found="one without",
            where="motion.estimator: exact",
            fix="Use estimator raft or dis for ordinary video.",
        )
    raise VideoJamError(
        expected="raft, dis or exact", found=repr(name), where="motion.estimator", fix="Correct the name."
    )


def _margins(size_px: int, smallest_px: int, stride_px: int = 1) -> tuple[int, int]:
    """Pixels to add before and after, for a side of at least `smallest_px` and a multiple of `stride_px`."""
    wanted = max(smallest_px, -(-size_px // stride_px) * stride_px)
    before = (wanted - size_px) // 2
    return before, wanted - size_px - before


def _load_raft(network: nn.Module, weights: str | Path) -> None:
    from torchvision.models.optical_flow import Raft_Large_Weights

    named = str(weights) in Raft_Large_Weights.__members__
    state = _download(str(weights)) if named else _read(weights)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise VideoJamError(
            expected="a state dict of torchvision's raft_large",
            found="one with other names or shapes",
            where=str(weights),
            fix="Save raft_large(...).state_dict() of torchvision, without a prefix.",
        ) from error


def _download(name: str) -> dict[str, Tensor]:
    from torchvision.models.optical_flow import Raft_Large_Weights

    try:
        return dict(Raft_Large_Weights[name].get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:
        raise VideoJamError(
            expected=f"to download RAFT's weights {name} (21 MB, once)",
            found=f"{type(error).__name__}: {error}",
            where=Raft_Large_Weights[name].url,
            fix="Connect to a network once, give a local weights path, or use estimator dis (no download).",
        ) from error


def _read(path: str | Path) -> dict[str, Tensor]:
    from torchvision.models.optical_flow import Raft_Large_Weights

    path = Path(path)
    if not path.is_file():
        raise VideoJamError(
            expected=f"a weights file, or one of {', '.join(Raft_Large_Weights.__members__)}",
            found="neither",
            where=str(path),
            fix="Check the path or the name.",
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        raise VideoJamError(
            expected="a .safetensors or .pth state dict that holds only tensors",
            found=reason(error) if isinstance(error, OSError) else "a file of another kind, or a damaged one",
            where=str(path),
            fix="Save the state dict with safetensors.torch.save_file.",
        ) from error


def _check_video(video: Tensor) -> None:
    if video.dtype != torch.uint8 or video.ndim != 4 or video.shape[1] != 3 or len(video) < 2:
        raise VideoJamError(
            expected="uint8 RGB video [T, 3, H, W] of two frames or more",
            found=f"{video.dtype} {list(video.shape)}",
            where="optical flow",
            fix="Use a longer clip, as uint8.",
        )
