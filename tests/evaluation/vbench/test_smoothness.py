"""Motion smoothness against the rule written out, and loading of a user's AMT."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from videojam.errors import VideoJamError
from videojam.evaluation.vbench.smoothness import AmtInterpolator, motion_smoothness

AMT_S = """
import torch
from torch import nn
from {blocks} import halve


class Model(nn.Module):
    def __init__(self, corr_radius=3):
        super().__init__()
        self.mix = nn.Conv2d(6, 3, 3, padding=1)

    def forward(self, img0, img1, embt, scale_factor=1.0, eval=False):
        assert img0.shape[-1] % 16 == 0 and img0.shape[-2] % 16 == 0 and eval
        assert embt.shape == (len(img0), 1, 1, 1) and bool((embt == 0.5).all())
        mixed = self.mix(torch.cat([img0, img1], dim=1))
        return {{"imgt_pred": (halve(img0 + img1) + 0.1 * mixed).clamp(0, 1)}}
"""


def write_amt(folder, package):
    """A copy of AMT's layout with another, tiny network."""
    blocks = folder / "networks" / "blocks"
    blocks.mkdir(parents=True)
    (blocks / "parts.py").write_text("def halve(x):\n    return x / 2\n")
    (folder / "networks" / "AMT-S.py").write_text(AMT_S.format(blocks=f"{package}.blocks.parts"))
    return folder


def clip_of_noise(t, height=30, width=45):
    return torch.from_numpy(np.random.default_rng(t).integers(0, 256, (t, 3, height, width), np.uint8))


def plain_smoothness(video, network):
    frames = [frame.permute(1, 2, 0).numpy() for frame in video]
    height, width = frames[0].shape[:2]
    rows, columns = (16 - height % 16) % 16, (16 - width % 16) % 16
    spread = ((rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2), (0, 0))
    errors = []
    for i in range(0, len(frames) - 2, 2):
        ends = [
            torch.from_numpy(np.pad(frames[j].astype(np.float32) / 255, spread, mode="edge")).permute(2, 0, 1)
            for j in (i, i + 2)
        ]
        with torch.no_grad():
            guess = network(ends[0][None], ends[1][None])[0].permute(1, 2, 0).numpy()
        guess = guess[rows // 2 : rows // 2 + height, columns // 2 : columns // 2 + width]
        levels = np.floor(np.clip(guess * 255, 0, 255)).astype(int)
        errors.append(np.abs(levels - frames[i + 1].astype(int)).mean())
    return (255 - np.mean(errors)) / 255


@pytest.mark.parametrize("layout", ["clone", "vbench"])
def test_matches_the_plain_loop_with_a_users_amt(tmp_path, layout):
    if layout == "clone":
        code = write_amt(tmp_path / "AMT", "networks")
    else:
        code = write_amt(tmp_path / "vbench" / "third_party" / "amt", "vbench.third_party.amt.networks")
        (tmp_path / "vbench" / "__init__.py").write_text(
            "raise RuntimeError('needs packages that are not here')"
        )
    torch.manual_seed(0)
    weights = {"mix.weight": torch.randn(3, 6, 3, 3), "mix.bias": torch.randn(3)}
    torch.save({"state_dict": weights, "epoch": 3}, tmp_path / "amt-s.pth")
    before = set(sys.modules), list(sys.path)
    interpolate = AmtInterpolator(code, tmp_path / "amt-s.pth")
    assert torch.equal(interpolate.network.mix.bias, weights["mix.bias"])
    assert (set(sys.modules), sys.path) == before
    for num_frames in (3, 8, 9):
        video = clip_of_noise(num_frames)
        expected = plain_smoothness(video, interpolate)
        assert 0.1 < expected < 0.95
        for batch_size in (1, 4):
            assert motion_smoothness(video, interpolate, batch_size) == pytest.approx(expected, abs=1e-6)


def test_constants_by_hand():
    mean = lambda first, second: (first + second) / 2  # noqa: E731
    still = torch.full((5, 3, 16, 16), 77, dtype=torch.uint8)
    assert motion_smoothness(still, mean) == pytest.approx(1.0, abs=1 / 255)
    blink = still.clone()
    blink[1::2] = 200
    assert motion_smoothness(blink, lambda a, b: torch.full_like(a, 77.9 / 255)) == pytest.approx(
        (255 - 123) / 255
    )
    # An even number of frames: the last, an odd one, has no second end.
    blink[3] = 77
    assert motion_smoothness(blink[:4], lambda a, b: torch.full_like(a, 77.9 / 255)) == pytest.approx(
        (255 - 123) / 255
    )
    with pytest.raises(VideoJamError, match="three frames"):
        motion_smoothness(still[:2], mean)


def test_what_is_missing_is_told(tmp_path):
    with pytest.raises(VideoJamError, match="non-commercial"):
        AmtInterpolator(tmp_path, tmp_path / "amt-s.pth")
    code = write_amt(tmp_path / "AMT", "networks")
    with pytest.raises(VideoJamError, match="no such file"):
        AmtInterpolator(code, tmp_path / "amt-s.pth")
    torch.save({"state_dict": {"other": torch.zeros(1)}}, tmp_path / "amt-s.pth")
    with pytest.raises(VideoJamError, match="other names"):
        AmtInterpolator(code, tmp_path / "amt-s.pth")
    write_amt(tmp_path / "broken", "nowhere")
    with pytest.raises(VideoJamError, match="ModuleNotFoundError"):
        AmtInterpolator(tmp_path / "broken", tmp_path / "amt-s.pth")
