"""The page of the premise study says what its result files say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studies.premise.results import FOLDER, PAGE, RUNS, page_tables, summary

ROOT = Path(__file__).parents[1]


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> dict:
    monkeypatch.chdir(ROOT)
    return {run: summary(run) for run in RUNS}


def test_results_are_those_of_the_flags(results):
    assert json.loads((FOLDER / "results.json").read_text()) == json.loads(json.dumps(results))


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


def test_scales_are_chosen_on_other_noise_than_contrasts(results):
    assert results["young"]["noise"] != 0
    assert results["mature"]["noise"] != 0
