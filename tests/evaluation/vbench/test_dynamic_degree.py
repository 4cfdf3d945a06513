"""Dynamic degree against RAFT run pair by pair, and its rule against the rule written out."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional
from torchvision.models.optical_flow import raft_large

from videojam.errors import VideoJamError
from videojam.evaluation.vbench import dynamic_degree
from videojam.evaluation.vbench.dynamic_degree import (
    DynamicDegree,
    frame_interval,
    moving_threshold_px,
    num_moving_needed,
)


@pytest.fixture(scope="module")
def raft(tmp_path_factory):
    torch.manual_seed(0)
    network = raft_large(weights=None).eval()
    path = tmp_path_factory.mktemp("raft") / "raft.safetensors"
    save_file(network.state_dict(), path)
    return path, network


def clip_of_noise(t, height=130, width=139):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (t, 3, height, width), np.uint8))


def plain_magnitudes(video, network):
    """One pair at a time, both frames encoded anew, all 20 flows upsampled, a full sort."""
    height, width = video.shape[-2:]
    more_rows, more_columns = (8 - height % 8) % 8, (8 - width % 8) % 8
    margins = (
        more_columns // 2,
        more_columns - more_columns // 2,
        more_rows // 2,
        more_rows - more_rows // 2,
    )
    result = []
    for a, b in pairwise(video):
        first, second = (
            functional.pad(2 * (frame[None].float() / 255) - 1, margins, mode="replicate") for frame in (a, b)
        )
        with torch.no_grad():
            flow = network(first, second, num_flow_updates=20)[-1][0].numpy()
        magnitude = np.sqrt(flow[0] ** 2 + flow[1] ** 2).ravel()
        result.append(np.sort(magnitude)[::-1][: int(magnitude.size * 0.05)].mean())
    return np.array(result)


def test_magnitudes_and_decision_match_the_plain_loop(raft, monkeypatch):
    path, network = raft
    video = clip_of_noise(3)
    plain = plain_magnitudes(video, network)
    assert plain.std() > 0
    for batch_size in (1, 2):
        ours = DynamicDegree(path, batch_size=batch_size).magnitudes(video, 8)
        np.testing.assert_allclose(ours.numpy(), plain, rtol=1e-3)
    # Of 3 frames one pair must move, so the answer turns where the threshold passes the fastest.
    for factor, answer in ((0.99, True), (1.01, False)):
        threshold_px = plain.max() * factor
        monkeypatch.setattr(dynamic_degree, "moving_threshold_px", lambda h, w, px=threshold_px: px)
        assert DynamicDegree(path)(video, 8.0) is answer


def test_stopping_early_never_changes_the_answer(raft):
    judge = DynamicDegree(raft[0])
    saved = total = 0
    for num_pairs in range(1, 9):
        video = torch.zeros(num_pairs + 1, 3, 256, 256, dtype=torch.uint8)
        video[:, 0, 0, 0] = torch.arange(num_pairs + 1)  # frames tell which they are
        for moving in product((0.0, 99.0), repeat=num_pairs):
            seen = []

            def magnitudes(frames, first, moving=moving, seen=seen):
                pairs = frames[:-1, 0, 0, 0].tolist()
                seen.extend(pairs)
                return torch.tensor([moving[i] for i in pairs]), None

            judge._magnitudes = magnitudes
            needed = round(4 * ((num_pairs + 1) / 16))
            count, answer = 0, False
            for value in moving:
                count += value > 6
                answer = answer or count >= needed
            assert judge(video, 8.0) is answer
            assert seen == list(range(len(seen)))
            saved, total = saved + num_pairs - len(seen), total + num_pairs
    assert saved / total > 0.3


def test_constants():
    assert [frame_interval(fps) for fps in (4, 8, 12, 16, 20, 24, 30)] == [1, 1, 2, 2, 2, 3, 4]
    assert moving_threshold_px(480, 832) == 11.25
    assert [num_moving_needed(n) for n in (2, 3, 6, 10, 16, 25)] == [0, 1, 2, 2, 4, 6]


def test_a_still_clip_and_bad_clips(raft):
    judge = DynamicDegree(raft[0])
    with pytest.raises(VideoJamError, match="121 px"):
        judge(clip_of_noise(4, 48, 200), 8)
    with pytest.raises(VideoJamError, match="2 frames at 24 fps"):
        judge(clip_of_noise(2), 24)
    with pytest.raises(VideoJamError, match="neither"):
        DynamicDegree("nowhere.pth")
