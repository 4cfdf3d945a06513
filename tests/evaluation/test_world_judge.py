"""The world's judge on mp4 files: truth passes, damage is named frame by frame, other clips are refused."""

from __future__ import annotations

import pytest
import torch

from videojam.bench.folder import Item
from videojam.bench.make.arms import TRUTH, arm_of
from videojam.bench.make.sources import find_source, load_sampler
from videojam.bench.make.suites import load_suite
from videojam.bench.work import Work
from videojam.errors import VideoJamError
from videojam.evaluation.world_judge import WorldJudge, what_moves
from videojam.motion.video import read_video, write_video
from videojam.world import sample_clip

PROMPT = "cool square moves slowly"


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A lawful clip as a file shows it."""
    path = tmp_path_factory.mktemp("world") / "clip.mp4"
    write_video(path, sample_clip(5, caption=PROMPT).video, 4)
    return read_video(path).frames


def test_a_lawful_file_is_coherent_and_as_asked(clip):
    assert WorldJudge().score(clip, 4.0, PROMPT) == {"coherent": 1.0, "as_asked": 1.0, "explained": 1.0}
    other = WorldJudge().score(clip, 4.0, "warm square moves slowly")
    assert (other["coherent"], other["as_asked"]) == (1.0, 0.0)


def test_the_frame_that_nothing_explains_is_named_and_framed_in_red(clip):
    broken = clip.clone()
    broken[3] = 255 - broken[3]
    scores = WorldJudge().score(broken, 4.0, PROMPT)
    assert scores["coherent"] == 0
    assert scores["explained"] == pytest.approx(5 / 6)
    assert [reason.partition(":")[0] for reason in scores["coherent"].reasons] == ["frame 4"]
    corners = what_moves(broken, PROMPT)[:, :, 1, 100]
    red = (corners == torch.tensor([255, 82, 70], dtype=torch.uint8)).all(1)
    assert red.tolist() == [False, False, False, True, False, False]


@pytest.mark.parametrize(("frames", "prompt"), [(slice(0, 2), PROMPT), (slice(0, 6), "a red ball")])
def test_another_size_or_prompt_is_refused(clip, frames, prompt):
    with pytest.raises(VideoJamError, match=r"a caption of the world|at least 3 square frames"):
        WorldJudge().score(clip[frames], 4.0, prompt)


def test_the_truth_of_the_suite_is_lawful_and_as_asked():
    spec = arm_of("truth", {"source": TRUTH})
    sampler = load_sampler(spec, find_source(spec), Work())
    items = [Item(prompt, 0, prompt.seed) for prompt in load_suite("world").prompts[:4]]
    for item, made in zip(items, sampler.make(items), strict=True):
        assert made.video.shape == (6, 3, 64, 64)
        assert WorldJudge().score(made.video, 4.0, item.prompt.text)["as_asked"] == 1


def test_what_is_lit_in_a_lawful_clip_lies_inside_the_outline(clip):
    """Also where the mover stays or comes back, so that it covers a pixel in most frames."""
    bright = what_moves(clip, PROMPT).float().mean(1) > 150
    for lit in bright:
        rows, columns = lit.any(1).nonzero(), lit.any(0).nonzero()
        assert rows.max() - rows.min() < 48
        assert columns.max() - columns.min() < 48
