"""The benchmark of our loop against the stock pipelines goes on where it stopped, and compares like with like."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).parent.parent / "benchmarks" / "families_overhead.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("families_overhead", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    small = {"num_layers": 1}
    module.ROWS = {
        name: dataclasses.replace(module.ROWS[name], config=small, side=32) for name in ("wan", "wan-i2v")
    }
    return module


def test_an_interrupted_measurement_goes_on_where_it_stopped(benchmark, tmp_path):
    out = tmp_path / "result.json"

    def run(*given):
        benchmark.main([*given, "--steps", "1", "--out", str(out)])
        return json.loads(out.read_text())["families"]

    (first,) = run("--family", "wan", "--pairs", "1")["wan"]["pairs"]
    families = run("--pairs", "2")
    assert list(families) == ["wan", "wan-i2v"]
    assert families["wan"]["pairs"][0] == first
    assert [family["num_pairs"] for family in families.values()] == [2, 2]
    assert families["wan-i2v"]["max_difference"] == 0  # the same latents
    assert families["wan-i2v"]["num_forwards"] == 2  # with and without text, in one step
    other_steps = benchmark.read_result(
        out, {**benchmark.setting(benchmark.argparse.Namespace(threads=1, steps=3))}
    )
    assert other_steps["families"] == {}


def test_what_differs_is_not_compared(benchmark):
    row = benchmark.ROWS["wan"]
    model = benchmark.joint_model(row)
    arms = benchmark.samplers(model, row, 1)
    with pytest.raises(AssertionError):
        benchmark.checked(model, {**arms, "ours": benchmark.samplers(model, row, 2)["ours"]})


def test_the_summary_is_of_the_pairs(benchmark):
    pairs = [
        {"stock_s": 1.0, "ours_s": ours, "stock_cpu_s": 2.0, "ours_cpu_s": 2.0} for ours in (1.0, 1.01, 1.5)
    ]
    found = benchmark.summary(pairs)
    assert found["ratio_median"] == pytest.approx(1.01)
    assert found["meets_goal"]
    assert found["cpu_ratio_median"] == 1.0
    assert found["ratio_95"] == [1.0, 1.5]
