"""The verbs of `videojam bench`, as a user types them."""

from __future__ import annotations

import json

import pytest
import torch
from typer.testing import CliRunner

from videojam.bench.folder import Bench
from videojam.bench.manifest import read_manifest
from videojam.bench.score import scoring
from videojam.cli import app
from videojam.errors import VideoJamError
from videojam.motion.video import write_video

SIZE = ("--set", "steps=2", "--set", "frames=9", "--set", "height=32", "--set", "width=32")


def call(*words):
    return invoke("bench", *words)


def judges(*words):
    return invoke("judges", *words)


def invoke(*words):
    result = CliRunner().invoke(app, [*map(str, words)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_run_resumes_and_its_exit_code_follows_the_policy(tiny_wan, tmp_path, monkeypatch):
    out = tmp_path / "bench"
    words = (
        "run",
        f"base={tiny_wan},steps=1",
        "world:truth",
        "--suite",
        "world",
        "--limit",
        1,
        "--out",
        out,
        *SIZE,
    )
    first = call(*words, "--on-problem", "warn", "--batch-size", 5)
    assert first.exit_code == 0
    assert "coherent (%)" in first.stdout
    assert str(out / "index.html") in first.stdout
    assert read_manifest(Bench.open(out), "base").facts["num_steps"] == 1  # an arm's own setting goes first
    assert read_manifest(Bench.open(out), "world-truth").num_frames == 9
    # Again: nothing is loaded or decoded, and the report comes out the same.
    before = json.loads((out / "results.json").read_text())
    monkeypatch.setattr("videojam.bench.make.generate.load_sampler", None)
    monkeypatch.setattr(scoring, "read_video", None)
    assert call(*words, "--on-problem", "warn").exit_code == 0
    assert json.loads((out / "results.json").read_text()) == before
    Bench.open(out).clip("world-truth", Bench.open(out).items[0]).unlink()
    failed = call("report", "--out", out)
    assert failed.exit_code == 1
    assert "missing" in failed.stderr
    assert call("report", "--out", out, "--on-problem", "warn").exit_code == 0


def test_ranks_share_the_work_and_the_report_comes_last(tmp_path):
    out = tmp_path / "bench"
    words = ("run", "truth=world:truth", "--suite", "world", "--limit", 1, "--out", out, "--num-ranks", 2)
    assert call(*words, "--rank", 1).exit_code == 0
    assert len(list((out / "arms" / "truth").glob("*.mp4"))) == 2
    assert not (out / "index.html").exists()
    assert call(*words, "--rank", 0).exit_code == 0
    done = call("report", "--out", out)
    assert done.exit_code == 0
    assert "truth  100.0" in done.stdout
    assert "n = 4" in done.stdout


def test_import_then_score(tmp_path):
    prompts = tmp_path / "mine.txt"
    prompts.write_text("a dog runs\na cat jumps\n")
    write_video(tmp_path / "clips" / "a dog runs.mp4", torch.zeros(9, 3, 32, 32, dtype=torch.uint8), 8)
    out = tmp_path / "bench"
    words = ("import", tmp_path / "clips", "--name", "sora", "--out", out, "--suite", prompts)
    done = call(*words)
    assert done.exit_code == 1
    assert "missing: 0002_s0" in done.stderr
    assert call(*words, "--on-problem", "warn").exit_code == 0
    judge = "videojam.bench.checks_example:Mean"
    with pytest.raises(Exception, match="No module named"):
        call("score", "--out", out, "--judge", judge)


def test_a_judge_that_ran_elsewhere_stands_in_the_report(tmp_path):
    out, export, table = tmp_path / "bench", tmp_path / "export", tmp_path / "trajan.csv"
    call("run", "truth=world:truth", "--suite", "world", "--limit", 1, "--out", out)
    assert judges("export", "trajan", out, export, "--arm", "truth").exit_code == 0
    names = sorted(json.loads((export / "export.json").read_text())["files"])
    rows = [f"{name}.mp4,0.{i}" for i, name in enumerate(names[:3], start=5)]
    table.write_text("\n".join(["file,average_jaccard", *rows]) + "\n")
    done = judges("import", export, table, "--bench", out, "--arm", "truth")
    assert done.exit_code == 1
    assert done.stderr.count("no result: ") == 1
    report = call("report", "--out", out)
    assert report.exit_code == 1
    assert "average Jaccard (TRAJAN)\n  truth  0.600" in report.stdout
    assert "n = 3" in report.stdout
    assert "trajan: no result for average_jaccard" in report.stderr
    made_anew = out / "arms" / "truth" / f"{names[0]}.mp4"
    made_anew.touch()
    done = judges("import", export, table, "--bench", out, "--arm", "truth")
    assert f"made again after the export, result not taken: {names[0]}" in done.stderr
    assert "n = 2" in call("report", "--out", out).stdout
    with pytest.raises(VideoJamError, match="--bench and --arm together"):
        judges("import", export, table, "--arm", "truth")
    with pytest.raises(VideoJamError, match="an arm with clips"):
        judges("export", "trajan", out, tmp_path / "b", "--arm", "sora")


def test_prompts_are_listed(tmp_path):
    done = call("prompts", "motion-128")
    lines = done.stdout.splitlines()
    assert len(lines) == 128
    assert lines[0].split("\t")[:2] == ["basic-01", "basic"]
    assert "motion-128: 128 prompts, sha256" in done.stderr


def test_ablate_runs_table_3(joint_wan, tmp_path):
    out = tmp_path / "bench"
    words = ("ablate", f"m={joint_wan}", "--suite", "world", "--limit", 1, "--out", out, *SIZE)
    done = call(*words, "--on-problem", "warn", "--batch-size", 5, "--shown", 1)
    assert done.exit_code == 0
    results = json.loads((out / "results.json").read_text())
    arms = {name: arm["facts"]["guidance"] for name, arm in results["arms"].items()}
    assert list(arms) == ["full", "no-text-guidance", "no-inner-guidance", "no-optical-flow", "ip2p-guidance"]
    told = {n: (g["mode"], g["w_text"], g["w_motion"], g["drop_motion"]) for n, g in arms.items()}
    assert told["full"] == ("inner", 5, 3, False)
    assert told["no-text-guidance"] == ("inner", 0, 3, False)
    assert told["no-inner-guidance"][0] == "cfg"
    assert told["no-optical-flow"][::3] == ("cfg", True)
    assert told["no-optical-flow"][1] == told["full"][1]  # at the w1 of the full model
    assert told["ip2p-guidance"] == ("ip2p", 5, 3, False)
    assert results["against"] == "full"
    # Of an untrained joint model the motion half says nothing, so three rows are CFG of scale 1 + w1; IP2P is CFG of
    # scale w1.
    clips = {name: sorted(p.read_bytes() for p in (out / "arms" / name).glob("*_s0.mp4")) for name in arms}
    assert clips["full"] == clips["no-inner-guidance"] == clips["no-optical-flow"]
    assert len({tuple(clips[name]) for name in ("full", "no-text-guidance", "ip2p-guidance")}) == 3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("run", "tiny:base", "--suite", "nothing"), "a shipped suite"),
        (("run", "tiny:base,colour=red", "--suite", "world"), "colour"),
        (("ablate", "tiny:videojam,mode=cfg", "--suite", "world"), "the ablations set it"),
        (("score",), "no such file"),
        (("run", "tiny:base", "--judge", "taste"), "one of world, proxies"),
        (("run", "tiny:base", "--vbench-parts", "nowhere.yaml"), "dino"),
    ],
)
def test_mistakes_are_told(tmp_path, words, told):
    from videojam.errors import VideoJamError

    with pytest.raises(VideoJamError, match=told):
        call(*words, "--out", tmp_path / "bench")
