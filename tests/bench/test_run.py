"""Benches that are stopped, run twice, refused or damaged."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from videojam.bench.folder import Bench
from videojam.bench.make.arms import parse_arm
from videojam.bench.presets import world_suite
from videojam.bench.run import held, run_bench
from videojam.bench.work import Plan, Rank
from videojam.cli import app
from videojam.errors import VideoJamError
from videojam.evaluation.judges import build_judges

TRUTH = "truth=world:truth,frames=9,height=32,width=32"
CALL = "from videojam.cli import run; run()"


@pytest.fixture
def done(four_prompts, tmp_path):
    """A finished bench of the world's own clips."""
    out = tmp_path / "bench"
    plan = Plan(four_prompts, [parse_arm(TRUTH)])
    run_bench(out, plan, build_judges(["world"]))
    return Bench.open(out), plan


def test_a_clip_that_was_cut_short_is_made_again(done):
    bench, plan = done
    path = bench.clip("truth", bench.items[1])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    others = {item.key: bench.clip("truth", item).stat().st_mtime_ns for item in bench.items[2:]}
    results = run_bench(bench.folder, plan, build_judges(["world"]))
    assert path.read_bytes() == whole
    assert results.problems == []
    assert others == {item.key: bench.clip("truth", item).stat().st_mtime_ns for item in bench.items[2:]}


def test_a_second_run_in_the_folder_is_refused_by_name(done):
    bench, plan = done
    with held(bench.folder), pytest.raises(VideoJamError, match=f"process {os.getpid()} on host"):
        run_bench(bench.folder, plan, build_judges(["world"]))
    with held(bench.folder, Rank(0, 2)), held(bench.folder, Rank(1, 2)):  # ranks share a folder
        with pytest.raises(VideoJamError, match="no other run writes to"), held(bench.folder):
            pass
        with pytest.raises(VideoJamError, match="no other run writes to"), held(bench.folder, Rank(1, 2)):
            pass
    refused = pytest.raises(VideoJamError, match="no other run writes to")
    with held(bench.folder), refused, held(bench.folder, Rank(0, 2)):
        pass
    with held(bench.folder, Rank(0, 2)):
        pass
    assert list(bench.folder.glob(".videojam-*")) == []


@pytest.mark.parametrize(
    "words",
    [
        ("run", "runs/nowhere", "--suite", "world"),
        ("run", "world:truth", "--suite", "world", "--against", "nosuch"),
        ("run", "tiny:base,mode=inner", "--suite", "world", "--limit", "1"),
        ("run", "tiny:base,colour=red", "--suite", "world"),
        ("run", "tiny:base", "--suite", "nothing"),
        ("run", "world:truth", "--suite", "world", "--judge", "taste"),
        ("run", "world:truth", "--suite", "motion-128"),
        ("ablate", "tiny:videojam,mode=cfg", "--suite", "world"),
        ("score",),
        ("report",),
    ],
)
def test_a_refused_call_leaves_no_folder(tmp_path, words):
    device = () if words[0] == "report" else ("--device", "cpu")
    result = CliRunner().invoke(app, ["bench", *words, *device, "--out", str(tmp_path / "a" / "b")])
    assert isinstance(result.exception, VideoJamError)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_of_others_is_not_written_into(tmp_path, four_prompts):
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(VideoJamError, match=r"index\.html without a bench\.json"):
        Bench.create(tmp_path, four_prompts)
    assert (tmp_path / "index.html").read_text() == "mine"


@pytest.mark.parametrize("edit", [{"num_seeds": 9}, {"format": 2}, {"suite": 3}])
def test_an_edited_bench_file_is_refused(done, edit):
    path = done[0].folder / "bench.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | edit))
    with pytest.raises(VideoJamError, match=r"bench\.json"):
        Bench.open(done[0].folder)


def test_a_full_disk_loses_nothing_and_the_same_call_goes_on(tmp_path, four_prompts):
    """Files may grow to so many bytes only, which is what a full disk looks like."""
    out, plan = tmp_path / "bench", Plan(four_prompts, [parse_arm(TRUTH)])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    refused, times = [], {}
    for size in (300, 1_500, 4_000, 8_000, 30_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            run_bench(out, plan, build_judges(["world"]))
        except VideoJamError as error:
            refused.append((Path(error.where).suffix, "space" in error.fix))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        now = {path: path.stat().st_mtime_ns for path in out.glob("arms/*/*.mp4")}
        assert now.items() >= times.items()
        times = now
        assert not list(out.rglob(".*"))
    assert {(".json", True), (".mp4", True), (".html", True)} <= set(refused)
    assert run_bench(out, plan, build_judges(["world"])).num_clips == {"truth": 4}
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_damaged_line_of_scores_is_named(done):
    bench, plan = done
    with next((bench.folder / "scores").glob("truth.0.jsonl")).open("a") as file:
        file.write("garbage\n")
    with pytest.raises(VideoJamError, match=r"truth\.0\.jsonl, line 9"):
        run_bench(bench.folder, plan, build_judges(["world"]))


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)]
)
def test_stopped_by_a_signal_it_says_where_it_stands(tmp_path, sent, code):
    words = (
        "bench",
        "run",
        "truth=world:truth",
        "--suite",
        "world",
        "--device",
        "cpu",
        "--out",
        tmp_path / "b",
    )
    run = subprocess.Popen([sys.executable, "-c", CALL, *map(str, words)], stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while len(list(tmp_path.glob("b/arms/truth/*.mp4"))) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    run.send_signal(sent)
    said = run.communicate(timeout=60)[1]
    assert run.returncode == code
    assert said.splitlines()[0] == "bench of truth=world:truth on 256 clips of world: on the CPU in float32"
    assert "of 256 clips. The same command goes on from there." in said
    assert not (tmp_path / "b" / ".videojam-bench.lock").exists()


@pytest.mark.parametrize("words", [("--against", "nosuch"), ("--set", "fps=3")])
def test_a_refused_call_leaves_a_bench_as_it_was(tmp_path, four_prompts, words):
    """Asking for more seeds widens a bench; where nothing of it is made, no clip is missing afterwards."""
    out = tmp_path / "bench"
    run_bench(out, Plan(four_prompts, [parse_arm(TRUTH)]), [])
    before = (out / "bench.json").read_bytes()
    again = (
        "run",
        TRUTH,
        "--suite",
        "world",
        "--limit",
        "2",
        "--seeds",
        "2",
        "--device",
        "cpu",
        "--out",
        str(out),
    )
    result = CliRunner().invoke(app, ["bench", *again, *words])
    assert isinstance(result.exception, VideoJamError)
    assert (out / "bench.json").read_bytes() == before


def test_other_prompts_of_a_suite_of_the_same_name_are_refused(tmp_path, four_prompts):
    """They would hide every clip that is there, as those of the demo's scenes."""
    Bench.create(tmp_path, four_prompts)
    with pytest.raises(VideoJamError, match="none of its 4"):
        Bench.create(tmp_path, world_suite(900_000_000, 1))


@pytest.mark.parametrize("words", [("run", TRUTH), ("import", "clips", "--name", "a")])
def test_more_seeds_than_a_list_in_memory_holds_are_refused(tmp_path, words):
    result = CliRunner().invoke(
        app, ["bench", *words, "--out", str(tmp_path / "b"), "--seeds", "1000000000000"]
    )
    assert (result.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert "10000" in result.output
