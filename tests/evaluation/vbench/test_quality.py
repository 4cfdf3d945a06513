"""Aesthetic and imaging quality against plain loops; loading of heads and of pyiqa."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch.nn import functional

from videojam.errors import VideoJamError
from videojam.evaluation.vbench.quality import (
    aesthetic_quality,
    imaging_quality,
    load_aesthetic_head,
    load_musiq,
)

MUSIQ = """
import torch
from torch import nn


class MUSIQ(nn.Module):
    def __init__(self, pretrained_model_path):
        super().__init__()
        self.weight = nn.Parameter(torch.load(pretrained_model_path, weights_only=True)["weight"])
        self.seen = []

    def forward(self, frames):
        self.seen.append(tuple(frames.shape))
        return 100 * (frames.mean(dim=(2, 3)) @ self.weight)[:, None]
"""


@pytest.fixture
def pyiqa(tmp_path, monkeypatch):
    """A package of pyiqa's layout with another network."""
    archs = tmp_path / "site" / "pyiqa" / "archs"
    archs.mkdir(parents=True)
    (archs / "musiq_arch.py").write_text(MUSIQ)
    monkeypatch.syspath_prepend(tmp_path / "site")
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyiqa"]:
        del sys.modules[name]


def test_aesthetic_quality_matches_the_plain_loop(tmp_path):
    torch.manual_seed(0)
    head = {"weight": torch.randn(1, 24), "bias": torch.randn(1)}
    torch.save(head, tmp_path / "head.pth")
    features = torch.randn(6, 24) * 5
    expected = np.mean(
        [float(head["weight"][0] @ (row / row.pow(2).sum().sqrt()) + head["bias"]) / 10 for row in features]
    )
    loaded = load_aesthetic_head(tmp_path / "head.pth")
    assert aesthetic_quality(features, loaded) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(VideoJamError, match="width 24"):
        aesthetic_quality(torch.randn(2, 768), loaded)


def test_a_wrong_head_is_told(tmp_path):
    with pytest.raises(VideoJamError, match="no such file"):
        load_aesthetic_head(tmp_path / "head.pth")
    torch.save({"weight": torch.zeros(2, 24), "bias": torch.zeros(2)}, tmp_path / "head.pth")
    with pytest.raises(VideoJamError, match=r"bias \[1\]"):
        load_aesthetic_head(tmp_path / "head.pth")
    torch.save([print], tmp_path / "code.pth")
    with pytest.raises(VideoJamError, match="only tensors"):
        load_aesthetic_head(tmp_path / "code.pth")


@pytest.mark.parametrize(
    ("height", "width", "small"), [(300, 512, (300, 512)), (400, 700, (292, 512)), (1000, 40, (512, 20))]
)
def test_imaging_quality_matches_the_plain_loop(tmp_path, pyiqa, height, width, small):
    weight = torch.tensor([0.2, 0.5, 0.1])
    torch.save({"weight": weight}, tmp_path / "musiq.pth")
    video = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 3, height, width), np.uint8))
    network = load_musiq(tmp_path / "musiq.pth")
    score = imaging_quality(video, network, batch_size=2)
    assert [shape[2:] for shape in network.seen] == [small] * 3
    expected = []
    for frame in video:
        pixels = frame[None].float()
        if small != (height, width):
            pixels = functional.interpolate(pixels, size=small, mode="bilinear", align_corners=False)
        expected.append(float(pixels.mean(dim=(2, 3)) @ weight) / 255)
    assert score == pytest.approx(np.mean(expected), abs=1e-5)
    assert 0 < score < 1


def test_missing_pyiqa_and_weights_are_told(tmp_path, pyiqa, monkeypatch):
    with pytest.raises(VideoJamError, match="no such file"):
        load_musiq(tmp_path / "nowhere.pth")
    torch.save({"other": torch.zeros(1)}, tmp_path / "wrong.pth")
    with pytest.raises(VideoJamError, match="KeyError"):
        load_musiq(tmp_path / "wrong.pth")
    monkeypatch.setitem(sys.modules, "pyiqa.archs.musiq_arch", None)
    with pytest.raises(VideoJamError, match='pip install "pyiqa"'):
        load_musiq(tmp_path / "wrong.pth")
