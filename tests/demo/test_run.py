"""The demo's files, scores and numbers."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from videojam.demo import ARMS, print_result, run_demo
from videojam.motion.video import probe_video, read_video
from videojam.world import KINDS, score_clip


def test_each_arm_gets_the_same_prompts_and_noise(demo_result):
    asked = {arm: [(clip.prompt, clip.seed) for clip in demo_result.of(arm)] for arm in ARMS}
    assert asked["base"] == asked["control"] == asked["videojam"]
    assert len(asked["base"]) == len(set(asked["base"])) == len(KINDS)
    assert [clip.kind for clip in demo_result.of("base")] == list(KINDS)


def test_the_untrained_joint_model_draws_what_its_base_draws(demo_result):
    """A conversion changes nothing, so equal prompts and noise give equal clips: the arms are paired."""
    for base, control, joint in zip(*(demo_result.of(arm) for arm in ARMS), strict=True):
        files = [(demo_result.out / clip.video).read_bytes() for clip in (base, control, joint)]
        assert files[0] == files[1] == files[2]


def test_only_videojam_has_its_motion_beside_it(demo_result):
    for arm in ARMS:
        for clip in demo_result.of(arm):
            info = probe_video(demo_result.out / clip.video)
            assert (info.num_frames, info.height, info.width, info.fps) == (25, 64, 64, 12)
            assert (clip.motion is not None) == (arm == "videojam")
            if clip.motion:
                assert probe_video(demo_result.out / clip.motion).num_frames == 25


def test_scores_are_those_of_the_files(demo_result):
    for clip in demo_result.clips:
        path = demo_result.out / clip.video
        score = score_clip(read_video(path).frames, path.with_suffix(".txt").read_text().strip())
        assert (clip.coherent, clip.reasons) == (score.coherent, tuple(score.reasons))


def test_the_worlds_own_clips_are_coherent_and_noise_is_not(demo_result):
    assert demo_result.tally("world").coherent.mean == 1
    assert demo_result.tally("base").coherent.mean == 0
    assert all(clip.reasons for clip in demo_result.of("base"))


def test_results_file_and_table_tell_the_same(demo_result):
    stored = json.loads((demo_result.out / "results.json").read_text())
    assert stored["arms"]["world"]["coherent"]["n"] == 5
    assert stored["provenance"]["arms"]["videojam"]["guidance"]["mode"] == "inner"
    assert stored["provenance"]["arms"]["base"]["guidance"]["mode"] == "cfg"
    assert len(stored["clips"]) == 4 * 5
    text = io.StringIO()
    print_result(demo_result, Console(file=text, width=80))
    shown = text.getvalue()
    assert "n = 5 an arm" in shown
    assert "World (truth)  100% (57–100)" in shown  # Wilson: 25 / (25 + 1.96²·5) = 0.566 for 5 of 5
    assert "includes zero" in " ".join(shown.split())
    assert "…" not in shown.replace(" … ", ""), "a column was cut at 80 characters"


def test_another_seed_asks_for_other_clips(demo_models, demo_result, tmp_path):
    other = run_demo(tmp_path / "other", clips_per_kind=1, num_steps=1, models=demo_models, seed=1)
    assert {clip.seed for clip in other.clips}.isdisjoint(clip.seed for clip in demo_result.clips)
    assert [clip.kind for clip in other.of("base")] == list(KINDS)


def test_a_missing_model_is_named(tmp_path):
    from videojam.errors import VideoJamError

    with pytest.raises(VideoJamError, match="base"):
        run_demo(tmp_path / "out", models=tmp_path / "nothing")
