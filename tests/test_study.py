"""The study's rule for scales and its paired contrasts, on made-up results with known answers."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FOLDER = Path(__file__).parent.parent / "scripts/study"


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(sys, "argv", ["run.py"])
    return {name: importlib.import_module(name) for name in ("scales", "run", "report", "zoom")}


def measured(coherent: float, follows: float) -> dict[str, dict[str, float]]:
    return {"world-v1.coherent": {"mean": coherent}, "world-v1.follows_prompt": {"mean": follows}}


def test_a_scale_that_loses_the_prompt_cannot_be_chosen(study: dict[str, ModuleType]) -> None:
    table = {
        "control-w1": measured(0.9, 0.5),  # coherent, but not what was asked for
        "control-w2": measured(0.4, 0.92),
        "control-w5": measured(0.4, 0.96),  # as coherent: the smaller scale wins
        "videojam-w1-m0.5": measured(0.3, 0.9),
        "videojam-w1-m3": measured(0.6, 0.9),
    }
    chosen = study["scales"].chosen_scales({"table": table})
    assert chosen == {"control": {"w_text": 2.0}, "videojam": {"w_text": 1.0, "w_motion": 3.0}}


def test_scales_are_chosen_on_prompts_that_a_bench_takes(
    study: dict[str, ModuleType], tmp_path: Path
) -> None:
    from videojam.bench.suites import load_suite

    suite = load_suite(study["run"].tuning_suite(tmp_path))
    assert [prompt.category for prompt in suite.prompts].count("ball") == 16
    assert len(suite.prompts) == 80


def test_every_arm_of_the_grid_is_read_back_and_becomes_an_arm(study: dict[str, ModuleType]) -> None:
    grid = study["run"].grid_arms(Path("runs"), Path("base"))
    chosen = study["scales"].chosen_scales({"table": {name: measured(0.5, 0.5) for name in grid}})
    assert set(chosen) == {"base", "control", "videojam-cfg", "videojam"}
    arms = study["run"].study_arms(Path("runs"), Path("base"), 0, chosen)
    assert {a for pair in study["report"].CONTRASTS for a in pair} <= set(arms)
    assert set(study["report"].FORWARDS) <= set(arms)

    from videojam.bench.arms import parse_arms

    parsed = parse_arms([f"{name}={spec}" for name, spec in arms.items()])
    assert {spec.name: spec.mode for spec in parsed}["videojam-ip2p"] == "ip2p"


def test_a_contrast_is_paired_and_tells_whether_seeds_agree(study: dict[str, ModuleType]) -> None:
    def found(gain: float) -> dict[str, object]:
        rng = np.random.default_rng(0)
        base = {f"p{i}_s0": float(v) for i, v in enumerate(rng.random(40))}
        key = "world-v1.coherent"
        better = {clip: value + gain for clip, value in base.items()}
        return {"values": {"control": {key: base}, "videojam": {key: better}}}

    same = study["report"].contrast([found(0.1), found(0.2)], "videojam", "control", "coherent")
    assert same["pooled"]["mean"] == pytest.approx(0.15)
    assert same["pooled"]["high"] - same["pooled"]["low"] < 1e-9  # what is common to a pair drops out
    assert same["agree_in_sign"]
    mixed = study["report"].contrast([found(0.1), found(-0.2)], "videojam", "control", "coherent")
    assert not mixed["agree_in_sign"]


def test_thirds_are_by_size_within_each_kind(study: dict[str, ModuleType]) -> None:
    # Every wheel is larger than every ball; still each third holds as many of both.
    rows = [{"kind": "ball", "size": i} for i in range(6)] + [
        {"kind": "wheel", "size": 10 + i} for i in range(6)
    ]
    found = study["zoom"].thirds(reversed(rows))
    assert {name: sorted(row["size"] for row in part) for name, part in found.items()} == {
        "small": [0, 1, 10, 11], "middle": [2, 3, 12, 13], "large": [4, 5, 14, 15],
    }  # fmt: skip
