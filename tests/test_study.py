"""The study's rule for scales and its paired contrasts, on made-up results with known answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from studies.controlled import direction, figures, picture, points, report, run, scales, tables, worlds, zoom
from studies.pages import with_block
from videojam.evaluation.intervals import ratio_of_sums

ROOT = Path(__file__).parent.parent


def measured(coherent: float, follows: float) -> dict[str, dict[str, float]]:
    return {"world-v1.coherent": {"mean": coherent}, "world-v1.follows_prompt": {"mean": follows}}


def test_a_scale_that_loses_the_prompt_cannot_be_chosen() -> None:
    table = {
        "control-w1": measured(0.9, 0.5),  # coherent, but not what was asked for
        "control-w2": measured(0.4, 0.92),
        "control-w5": measured(0.4, 0.96),  # as coherent: the smaller scale wins
        "videojam-w1-m0.5": measured(0.3, 0.9),
        "videojam-w1-m3": measured(0.6, 0.9),
    }
    chosen = scales.chosen_scales({"table": table})
    assert chosen == {"control": {"w_text": 2.0}, "videojam": {"w_text": 1.0, "w_motion": 3.0}}


def test_scales_are_chosen_on_prompts_that_a_bench_takes(tmp_path: Path) -> None:
    from videojam.bench.make.suites import load_suite

    suite = load_suite(run.tuning_suite(tmp_path))
    assert [prompt.category for prompt in suite.prompts].count("ball") == 16
    assert len(suite.prompts) == 80


def test_every_arm_of_the_grid_is_read_back_and_becomes_an_arm() -> None:
    grid = run.grid_arms("plain", Path("runs"), Path("base"))
    chosen = scales.chosen_scales({"table": {name: measured(0.5, 0.5) for name in grid}})
    assert set(chosen) == {"base", "control", "videojam-cfg", "videojam"}
    arms = run.study_arms(Path("runs"), Path("base"), 0, chosen)
    assert {a for pair in figures.CONTRASTS for a in pair} <= set(arms)
    assert set(figures.FORWARDS) <= set(arms)

    from videojam.bench.make.arms import parse_arms

    arms |= run.change_arms(Path("runs"), chosen)
    parsed = parse_arms([f"{name}={spec}" for name, spec in arms.items()])
    assert {spec.name: spec.settings.mode for spec in parsed}["videojam-ip2p"] == "ip2p"
    assert arms["longer"] == arms["videojam"].replace("videojam-0", "change-longer")


def test_a_bench_is_done_once_it_has_every_arm(tmp_path: Path) -> None:
    arms = {"base": "tiny:base", "videojam": "tiny:videojam"}
    for table, done in (({"base": {}}, False), ({"base": {}, "videojam": {}, "more": {}}, True)):
        (tmp_path / "results.json").write_text(json.dumps({"table": table}))
        assert run.bench("arms", tmp_path, "world", arms).is_done == done


def test_every_change_is_one_that_the_recipe_knows() -> None:
    from videojam.training.recipe import load_recipe

    recipe = Path(__file__).parent.parent / "recipes/tiny/videojam.yaml"
    plain = load_recipe(recipe).model_dump()
    for name, change in run.CHANGES.items():
        changed = load_recipe(recipe, [f"{key}={value}" for key, value in change.items()]).model_dump()
        assert changed != plain, name


def test_a_contrast_is_paired_and_tells_whether_seeds_agree() -> None:
    def found(gain: float) -> dict[str, object]:
        rng = np.random.default_rng(0)
        base = {f"p{i}_s0": float(v) for i, v in enumerate(rng.random(40))}
        key = "world-v1.coherent"
        better = {clip: value + gain for clip, value in base.items()}
        return {"values": {"control": {key: base}, "videojam": {key: better}}}

    same = figures.contrast([found(0.1), found(0.2)], "videojam", "control", "coherent")
    assert same["pooled"]["mean"] == pytest.approx(0.15)
    assert same["pooled"]["high"] - same["pooled"]["low"] < 1e-9  # what is common to a pair drops out
    assert same["agree_in_sign"]
    mixed = figures.contrast([found(0.1), found(-0.2)], "videojam", "control", "coherent")
    assert not mixed["agree_in_sign"]
    nothing = figures.contrast([found(0.0)], "videojam", "control", "coherent")
    assert not nothing["agree_in_sign"]


def test_pages_hold_what_the_result_files_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    files = sorted((ROOT / "benchmarks/results/study").glob("*/study.json"))
    assert files
    for file in files:
        for page, name, shown in tables.blocks(json.loads(file.read_text()), file.parent.name):
            assert with_block(page, name, shown) == page.read_text(), f"{name}: not what {file} says"
    shown = points.table(json.loads((ROOT / "benchmarks/results/study/points.json").read_text()))
    assert with_block(tables.SUMMARY, "study-points", shown) == tables.SUMMARY.read_text()
    done = subprocess.run(
        [sys.executable, "-m", "studies.tiny.report", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_laws_are_also_compared_where_both_clips_follow_the_prompt() -> None:
    def values(follows: list[float], broken: list[float]) -> dict[str, dict[str, float]]:
        columns = {"follows_prompt": follows, "broken_laws": broken}
        return {f"world-v1.{m}": {f"p{i}_s0": v for i, v in enumerate(c)} for m, c in columns.items()}

    lost = values([1, 1, 1, 0], [3, 3, 3, 1])  # the clip that lost its parts is asked fewer laws
    kept = values([1, 1, 1, 1], [2, 2, 2, 6])
    seed = {"values": {"videojam": lost, "control": kept}}
    every = figures.contrast([seed], "videojam", "control", "broken_laws")
    both = figures.contrast([seed], "videojam", "control", "broken_laws_if_followed")
    assert every["pooled"]["mean"] == -0.5
    assert (both["pooled"]["mean"], both["pooled"]["n"]) == (1.0, 3)


def test_the_report_of_a_point_from_made_up_benches(tmp_path: Path) -> None:
    measures = ("coherent", "broken_laws", *figures.MUST_NOT_FALL)
    rng = np.random.default_rng(0)

    def bench(arms: list[str]) -> dict[str, object]:
        values = {
            arm: {
                f"world-v1.{m}": {f"p{i}_s0": float(rng.random() < 0.9) for i in range(20)} for m in measures
            }
            for arm in arms
        }
        table = {arm: measured(0.5, 0.5) for arm in arms}
        categories = {kind: table for kind in figures.KINDS}
        return {"values": values, "table": table, "categories": categories, "versions": {}}

    seed_arms = list(figures.ARMS) + list(figures.FORWARDS)
    seeds = [bench(seed_arms), bench([arm for arm in seed_arms if not arm.startswith("base")])]
    grid = {"table": run.grid_arms("plain", Path("runs"), Path("base"))}
    grid["table"] = {name: measured(0.5, 0.5) for name in grid["table"]}
    changed = ["longer", "longer-cfg", "longer-control", "longer-control-same-w1", "lambda-0.2"]
    found = figures.gather(seeds, grid, bench(changed))
    # A whole bench's values stand in the table, and the difference to the unchanged arm is theirs.
    mean = np.mean(list(seeds[0]["values"]["videojam"]["world-v1.coherent"].values()))
    assert found["arms"]["videojam"]["coherent"]["seeds"][0] == pytest.approx(mean)
    assert len(found["arms"]["base"]["coherent"]["seeds"]) == 1
    assert found["cost"]["videojam"]["coherent minus exact"]["mean"] == 0
    changes = found["changes"]
    assert set(changes) == set(changed)
    # A change with a control of its own is compared with that one.
    assert changes["longer"]["coherent minus control"]["mean"] == pytest.approx(
        changes["longer"]["coherent"]["mean"] - changes["longer-control"]["coherent"]["mean"]
    )
    same_w1 = (
        changes["longer-cfg"]["coherent"]["mean"] - changes["longer-control-same-w1"]["coherent"]["mean"]
    )
    assert changes["longer-cfg"]["coherent minus control-same-w1"]["mean"] == pytest.approx(same_w1)
    assert changes["lambda-0.2"]["coherent minus control"]["mean"] == pytest.approx(
        changes["lambda-0.2"]["coherent"]["mean"] - found["arms"]["control"]["coherent"]["seeds"][0]
    )
    assert len(tables.tables(found)) == 7
    report.plot_cost(found, tmp_path)
    report.keep_clips({"arms-0": seeds[0]}, tmp_path)
    assert len((tmp_path / "clips.csv").read_text().splitlines()) == 1 + 20 * len(set(seed_arms))


def test_the_best_scale_of_a_push_minimises_the_error() -> None:
    rng = np.random.default_rng(0)
    push = rng.standard_normal((50, 100))
    lack = -0.6 * push + 0.1 * rng.standard_normal((50, 100))  # guidance goes away from the data
    found = ratio_of_sums((lack * push).mean(axis=1), (push**2).mean(axis=1))
    assert found.mean == pytest.approx(-0.6, abs=0.01)
    assert found.low < found.mean < found.high
    errors = {w: ((lack - w * push) ** 2).mean() for w in (-1.0, found.mean, 0.0)}
    assert min(errors, key=errors.get) == found.mean


def test_a_push_is_the_prediction_less_the_one_without_its_condition(tmp_path: Path) -> None:
    from videojam.data.config import DataConfig, WorldSource
    from videojam.data.encode import prepare
    from videojam.evaluation.motion_use import appearance_losses_by_motion
    from videojam.models.load import load_model

    model = load_model("tiny:videojam")
    source = WorldSource(num_clips=2, seed=1, world=direction.world_of(model))
    data = prepare(model, DataConfig(source=source, cache=tmp_path, num_heldout=1), model.record.motion)
    (lack, push) = direction.products(model, data.clips[0], 0, data.null_text, 0.5)["motion"]
    # |r + g|² − |r|² = 2⟨r, g⟩ + ⟨g, g⟩ is what the loss with null motion is more by.
    losses = appearance_losses_by_motion(model, data.clips, data.null_text, 0.5)
    assert 2 * lack + push == pytest.approx(losses["null"][0] - losses["true"][0], abs=1e-4)


def test_a_latent_place_moves_if_one_of_its_pixels_does() -> None:
    moving = torch.zeros(9, 16, 24, dtype=torch.bool)
    moving[0, 0, 0] = True  # the first frame is a latent frame of its own
    moving[3, 15, 8] = True  # frames 1 to 4 are the second
    places = worlds.moving_places(moving, torch.Size([3, 2, 3]))
    assert places.nonzero().tolist() == [[0, 0, 0], [1, 1, 1]]


def test_the_advantage_of_a_point_is_a_mean_over_its_own_seeds(tmp_path: Path) -> None:
    file = tmp_path / "clips.csv"
    rows = [
        f"arms-{seed},{arm},{clip},{int(arm == 'videojam' and seed < good)},2"
        for seed in (0, 1) for arm in ("control", "videojam") for clip, good in (("a", 1), ("b", 2))
    ]  # fmt: skip
    grid = "grid,videojam-w1-m1,a,1,2"  # no arm of the study
    file.write_text("\n".join(["bench,arm,clip,coherent,broken_laws", *rows, grid]) + "\n")
    seeds = points.read_seeds(file)
    assert points.advantage(seeds, "coherent").tolist() == [0.5, 1.0]


def test_what_a_point_of_the_world_asks(tmp_path: Path) -> None:
    out = tmp_path / "worlds.json"
    command = [
        sys.executable,
        "-m",
        "studies.controlled.worlds",
        "tiny:base",
        "--out",
        out,
        "--clips",
        "1",
        "--clutter",
        "4",
    ]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert found["coherent"]["collision"]["n"] == 1
    assert 0 < found["static_places"] < 1
    assert all(0 < share["mean"] < 1 for share in found["static_share"].values())


def test_a_row_of_the_picture_says_what_the_scorer_found() -> None:
    clip = picture.sample_clip(3, picture.TINY_WORLD, "wheel")
    good = picture.scored("True clip", clip.video, clip.caption)
    assert (good.verdict, good.good) == ("coherent", True)
    gone = clip.video.clone()
    gone[4] = 128
    bad = picture.scored("Base", gone, clip.caption)
    assert not bad.good
    assert "missing on 1 frame, first on frame 4" in bad.verdict
    strip = picture.draw_strip(clip.caption, [good, bad], num_frames=3, label_px=100)
    assert strip.width == 2 * 14 + 100 + 3 * (96 + 4)
    assert strip.getpixel((14 + 100 + 48, 34 + 96 + 4 + 10)) != (255, 255, 255)


def test_thirds_are_by_size_within_each_kind() -> None:
    # Every wheel is larger than every ball; still each third holds as many of both.
    rows = [{"kind": "ball", "size": i} for i in range(6)] + [
        {"kind": "wheel", "size": 10 + i} for i in range(6)
    ]
    found = zoom.thirds(reversed(rows))
    assert {name: sorted(row["size"] for row in part) for name, part in found.items()} == {
        "small": [0, 1, 10, 11], "middle": [2, 3, 12, 13], "large": [4, 5, 14, 15],
    }  # fmt: skip
