"""The page of the premise study says what its result files say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from studies.premise import call
from studies.premise.call import parser_of
from studies.premise.results import FOLDER, PAGE, all_runs, coherent, page_tables, summary
from studies.premise.stages import STAGES, arguments_of, config_of_stage, facts_of
from studies.premise.stages import table as stages_table
from studies.premise.validation import markdown

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture
def results() -> dict:
    return json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))


def test_results_of_a_run_are_those_of_its_flags(results):
    assert results["mature"] == json.loads(json.dumps(summary("mature")))


def test_shares_of_every_run_are_those_of_its_flags(results):
    assert list(results) == list(all_runs())
    for run, result in results.items():
        for name, row in result["coherent"].items():
            arm, _, rule = name.partition(" ")
            values = coherent(run, arm, rule or "plain", row["noise"])
            assert row["mean"] == round(100 * float(values.mean()), 1), (run, name)


def test_page_and_readme_show_the_results(results):
    page = PAGE.read_text(encoding="utf-8")
    for name, table in page_tables(results).items():
        assert f"<!-- {name}:start -->\n{table}\n<!-- {name}:end -->" in page
    young = results["young"]
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    for contrast in ("primary: joint w2=2 minus control, w1 = 0", "each at its best"):
        row = young["contrasts"][contrast]
        assert f"+{row['mean']}" in readme
        assert f"+{row['low']} to +{row['high']}" in readme
    assert (
        "control {:.0f} % of clips coherent, VideoJAM without Inner-Guidance {:.0f} %, with it {:.0f} %".format(
            *(young["coherent"][arm]["mean"] for arm in ("control plain", "joint plain", "joint w2=2"))
        )
        in readme
    )
    kinds, large = results["kinds"], results["large-16-2"]
    arms = ("control plain", "joint plain", "joint w2=2")
    for run in (kinds, large):
        assert (
            "{:.0f} %, {:.0f} % and {:.0f} %".format(*(run["coherent"][arm]["mean"] for arm in arms))
            in readme
        )
    best = kinds["contrasts"]["each at its best"]
    assert "at best scales {mean:+} points ({low:+} to {high:+})".format(**best) in readme
    best = large["contrasts"]["each at its best"]
    assert "({mean:+} points, {low:+} to {high:+})".format(**best).replace("-", "−") in readme
    long = results["long"]["coherent"]
    assert (
        "{:.0f} %, {:.0f} % and {:.0f} %; at their best scales {:.0f} % and {:.0f} %".format(
            *(
                long[arm]["mean"]
                for arm in ("control plain", "joint plain", "joint w2=2", "control w1=3", "joint w1=3_w2=2")
            )
        )
        in readme
    )


def test_page_shows_the_stages_that_are_ready():
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    assert f"<!-- stages:start -->\n{stages_table()}\n<!-- stages:end -->" in page
    for name, size_px in (("large-16", 16), ("large-32", 32)):
        assert 10 <= facts_of(name)["millions"] <= 30
        assert config_of_stage(name).world.size_px == size_px
    for name in STAGES:
        parser_of().parse_args([*arguments_of(name), "--out", "run"])


def test_weights_go_back_in_parts_that_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(call, "MAX_BYTES", 4000)
    monkeypatch.setattr(call, "MAX_HEADER", 500)
    tensors = {f"w{i}": torch.full((600,), float(i)) for i in range(5)}
    save_file(tensors, tmp_path / "joint.safetensors")
    call.copy_in_parts(tmp_path / "joint.safetensors", tmp_path / "back")
    parts = sorted((tmp_path / "back").iterdir())
    assert all(part.stat().st_size <= 4000 for part in parts)
    assert len(parts) == 3
    back = {name: tensor for part in parts for name, tensor in load_file(part).items()}
    assert {name: float(tensor.mean()) for name, tensor in back.items()} == {f"w{i}": i for i in range(5)}


def test_page_shows_the_judge_s_examination():
    result = json.loads((ROOT / "benchmarks/results/world_validation.json").read_text(encoding="utf-8"))
    table = markdown(result["validation"], tuple(result["world"]["kinds"]))
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    assert f"<!-- validation:start -->\n{table}\n<!-- validation:end -->" in page
    assert f"{result['num_distinct_scenes']:,} distinct scenes" in page


def test_scales_are_chosen_on_other_noise_than_contrasts(results):
    assert results["young"]["noise"] != 0
    assert results["mature"]["noise"] != 0
