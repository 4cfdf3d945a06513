"""Motion smoothness: how well AMT foresees the odd frames from the even ones.

AMT (Li et al., 2023, arXiv 2304.09790) is CC BY-NC 4.0, so no part of it is here: the user's own copy is loaded.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from videojam.errors import VideoJamError
from videojam.evaluation.vbench.preprocess import pad_to_multiple
from videojam.evaluation.vbench.weights import load_state

MULTIPLE_PX = 16


Interpolator = Callable[[Tensor, Tensor], Tensor]
"""Guesses the frames in the middle of two batches [n, 3, h, w] in 0..1 whose sides divide by 16."""


@torch.inference_mode()
def motion_smoothness(
    video: UInt8[Tensor, "t 3 h w"], interpolate: Interpolator, batch_size: int = 4
) -> float:
    """Return (255 − MAE)/255 between the odd frames and their interpolation from the even ones.

    As VBench 0.1.5: border padding to a multiple of 16 px, no rescaling, and the interpolated frame is truncated
    to whole levels, not rounded. The last frame of an even number of frames is not used.

    Args:
        video: Pixels.
        interpolate: AMT-S, for VBench's figures.
        batch_size: Pairs at a time; the result does not depend on it.

    Raises:
        VideoJamError: fewer than three frames.
    """
    if len(video) < 3:
        raise VideoJamError(
            expected="three frames or more",
            found=str(len(video)),
            where="motion smoothness",
            fix="Use a longer clip.",
        )
    ends = video[0::2]
    errors = []
    for start in range(0, len(ends) - 1, batch_size):
        frames = ends[start : start + batch_size + 1].float() / 255.0
        padded, (rows, columns) = pad_to_multiple(frames, MULTIPLE_PX)
        guess = interpolate(padded[:-1], padded[1:]).cpu()[..., rows, columns]
        levels = (guess * 255.0).clamp(0, 255).to(torch.uint8)
        truth = video[1::2][start : start + len(levels)]
        errors.append((truth.short() - levels.short()).abs().double().mean(dim=(1, 2, 3)))
    return (255.0 - float(torch.cat(errors).mean())) / 255.0


class AmtInterpolator:
    """AMT-S from the user's own copy of its code and weights.

    Args:
        code: Folder with `networks/AMT-S.py`: a clone of the AMT repository, or `vbench/third_party/amt` of an
            installed VBench. Its code is imported and run.
        checkpoint: `amt-s.pth`.
        device: Where to compute.

    Raises:
        VideoJamError: no such code, or a checkpoint that does not fit.
    """

    def __init__(self, code: str | Path, checkpoint: str | Path, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)
        self.network = _import_amt(Path(code))
        state = load_state(checkpoint, "AMT-S's amt-s.pth")
        try:
            self.network.load_state_dict(state.get("state_dict", state))
        except RuntimeError as error:
            raise VideoJamError(
                expected="the weights of AMT-S",
                found="a state dict with other names or shapes",
                where=str(checkpoint),
                fix="Download amt-s.pth of the AMT project again.",
            ) from error
        self.network.eval().requires_grad_(False).to(self.device)
        self.middle = torch.full((1, 1, 1, 1), 0.5, device=self.device)

    def __call__(
        self, first: Float[Tensor, "n 3 h w"], second: Float[Tensor, "n 3 h w"]
    ) -> Float[Tensor, "n 3 h w"]:
        """Guess the frames in the middle.

        Args:
            first: Frames in 0..1, sides divisible by 16.
            second: The frames two steps later.
        """
        first, second = first.to(self.device), second.to(self.device)
        middle = self.middle.expand(len(first), -1, -1, -1)
        return self.network(first, second, middle, scale_factor=1.0, eval=True)["imgt_pred"]


def _import_amt(code: Path) -> nn.Module:
    file = code.resolve() / "networks" / "AMT-S.py"
    if not file.is_file():
        raise VideoJamError(
            expected="AMT's code: a folder with networks/AMT-S.py",
            found="no such file",
            where=str(code),
            fix="Clone the AMT repository (CC BY-NC 4.0: for non-commercial use), or point to vbench/third_party/amt "
            "of an installed VBench.",
        )
    try:
        with _importable(file.parents[1]):
            spec = importlib.util.spec_from_file_location("amt_s", file)
            assert spec is not None  # a .py file always has one, and a loader
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module.Model()
    except (ImportError, AttributeError, TypeError) as error:
        raise VideoJamError(
            expected="AMT's code to import",
            found=f"{type(error).__name__}: {error}",
            where=str(file),
            fix="Install what it imports, or use an unchanged clone of the AMT repository.",
        ) from error


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Make `networks.…`, or VBench's copy `vbench.third_party.amt.networks.…`, importable for a moment.

    VBench's own `__init__` imports packages that are not here, so a bare package stands in for it.
    """
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    if folder.parts[-3:] == ("vbench", "third_party", "amt"):
        for name, path in (("vbench", folder.parents[1]), ("vbench.third_party", folder.parent)):
            package = ModuleType(name)
            package.__path__ = [str(path)]
            sys.modules.setdefault(name, package)
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if name.partition(".")[0] in ("networks", "utils", "vbench"):
                del sys.modules[name]
