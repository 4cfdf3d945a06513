"""The demo: a bench of three models on the same prompts and noise, and of the world itself."""

from __future__ import annotations

import json
import shutil
import time

import pytest
from typer.testing import CliRunner

from videojam.bench.folder import Bench
from videojam.bench.presets import DEMO_ARMS, demo_plan
from videojam.cli import app
from videojam.errors import VideoJamError
from videojam.evaluation.intervals import share
from videojam.motion.video import probe_video, read_video
from videojam.world import WorldConfig, captions, score_clip

KEY = "world-v2.coherent"


@pytest.fixture(scope="module")
def demo(demo_models, tmp_path_factory):
    """What the verb leaves and prints: one prompt a caption, two steps."""
    out = tmp_path_factory.mktemp("demo") / "out"
    words = ("demo", "--clips-per-kind", "1", "--steps", "2", "--models", demo_models, "--out", out)
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == 0, done.output
    return Bench.open(out), json.loads((out / "results.json").read_text()), done, words


def test_each_arm_gets_the_same_prompts_and_noise(demo):
    bench, results, _, _ = demo
    assert [(i.prompt.text, i.noise_seed) for i in bench.items] == [
        (text, 900_000_000 + i) for i, text in enumerate(captions(WorldConfig()))
    ]
    assert list(results["arms"]) == [*DEMO_ARMS, "truth"]
    assert len({results["arms"][arm]["noise"] for arm in DEMO_ARMS}) == 1


def test_the_untrained_joint_model_draws_what_its_base_draws(demo):
    """A conversion changes nothing, so equal prompts and noise give equal clips: the arms are paired."""
    bench = demo[0]
    for item in bench.items:
        assert len({bench.clip(arm, item).read_bytes() for arm in DEMO_ARMS}) == 1


def test_only_videojam_has_its_motion_beside_it(demo):
    bench = demo[0]
    for arm in DEMO_ARMS:
        for item in bench.items:
            info = probe_video(bench.clip(arm, item))
            assert (info.num_frames, info.height, info.width, info.fps) == (5, 64, 64, 4)
            assert bench.motion(arm, item).exists() == (arm == "VideoJAM")


def test_verdicts_and_their_reasons_are_those_of_the_files(demo):
    bench, results, _, _ = demo
    for arm in (*DEMO_ARMS, "truth"):
        for item in bench.items:
            score = score_clip(read_video(bench.clip(arm, item)).frames, item.prompt.text)
            assert results["values"][arm][KEY][item.key] == score.coherent
            assert results["reasons"][arm][KEY][item.key] == list(score.reasons)
    truth, base = share(4, 4), share(0, 4)
    assert (results["table"]["truth"][KEY]["low"], results["table"]["base"][KEY]["high"]) == (
        truth.low,
        base.high,
    )


def test_the_terminal_begins_with_the_finding(demo):
    bench, _, done, _ = demo
    lines, same = done.stdout.splitlines(), "the same on each of 4 prompts"
    assert lines[0] == f"VideoJAM minus control: +0 points of coherent clips ({same}): no difference shown."
    assert lines[1] == f"base minus control: +0 points of coherent clips ({same}): no difference shown."
    assert lines[2].startswith("4 prompts are for looking, not for ranking")
    assert "  truth     100.0" in done.stdout
    assert lines[-1] == f"Page: {bench.folder / 'index.html'}"
    first = "demo of base, control and VideoJAM: on the CPU in float32\n4 clips of each\n"
    assert done.stderr.startswith(first)


def test_the_page_says_what_it_shows(demo):
    html = (demo[0].folder / "index.html").read_text()
    assert html.index("no difference shown") < html.index('<article class="card"') < html.index("<table")
    assert "The same noise, three models" in html
    assert html.count("✓ coherent") == 4
    assert html.count("✗ coherent") == 12
    assert html.count('alt="Colour wheel of directions"') == 1
    for words in ("w1 = 5", "w2 = 3", "seed 900000000", "more</summary>", "torch "):
        assert words in html


def test_again_it_is_only_the_report_that_is_written(demo, monkeypatch):
    words = demo[3]
    monkeypatch.setattr("videojam.bench.make.generate.load_sampler", None)
    began = time.monotonic()
    assert CliRunner().invoke(app, [*map(str, words)]).exit_code == 0
    assert time.monotonic() - began < 20


def test_a_control_of_joint_shape_is_sampled_with_its_motion_at_zero(demo_models, tmp_path):
    models = shutil.copytree(demo_models, tmp_path / "models")
    shutil.rmtree(models / "control")
    shutil.copytree(models / "videojam", models / "control")
    arms = {arm.name: arm for arm in demo_plan(1, models=models).arms}
    asked = {name: arm.asked() for name, arm in arms.items()}
    assert (asked["control"]["mode"], asked["control"]["drop_motion"]) == ("cfg", True)
    assert "mode" not in asked["VideoJAM"]


def test_other_seeds_are_other_prompts(demo_models):
    one, two = (demo_plan(2, seed, models=demo_models).suite.prompts for seed in (0, 1))
    assert {p.id for p in one}.isdisjoint(p.id for p in two)


@pytest.mark.parametrize("gone", [".", "videojam"])
def test_a_folder_without_the_models_is_refused(demo_models, tmp_path, gone):
    models = tmp_path / "models"
    if gone != ".":
        shutil.copytree(demo_models, models)
        shutil.rmtree(models / gone)
    with pytest.raises(VideoJamError, match="base/, control/, videojam/") as error:
        demo_plan(1, models=models)
    assert "Correct the path" in error.value.fix
