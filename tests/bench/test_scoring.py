"""Scoring: once for each clip and judge, and every clip that can't be scored is told."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from videojam.bench.folder import Bench
from videojam.bench.make.arms import parse_arm
from videojam.bench.make.generate import generate_arm
from videojam.bench.make.imports import import_clips
from videojam.bench.make.suites import Prompt, Suite
from videojam.bench.manifest import read_manifest, write_manifest
from videojam.bench.report.collect import collect
from videojam.bench.score import scoring
from videojam.bench.score.scoring import score_arm
from videojam.bench.work import Rank
from videojam.errors import VideoJamError
from videojam.evaluation.judge import Judge, Measure
from videojam.evaluation.judges import build_judges
from videojam.evaluation.world_judge import WorldJudge
from videojam.motion.video import read_video, write_video
from videojam.store import append_row, read_rows
from videojam.world import score_clip


class Brightness:
    """A judge of one's own."""

    name = "brightness"
    measures = (Measure(name="mean", title="mean"), Measure(name="odd", title="odd"))

    def __init__(self):
        self.calls = []

    def score(self, video, fps, prompt):
        self.calls.append((tuple(video.shape), fps, prompt))
        if "refuse" in prompt:
            raise VideoJamError(expected="another prompt", found=prompt, where="here", fix="no")
        return {"mean": float(video.float().mean()), "odd": math.nan if "odd" in prompt else 1.0}


@pytest.fixture
def truth(bench):
    generate_arm(bench, parse_arm("truth=world:truth"))
    return bench


def lines(bench, arm, judge):
    return {line["clip"]: line for line in bench.read_scores(arm) if line["judge"] == judge}


def test_world_judge_says_of_the_file_what_the_world_says(truth):
    assert isinstance(WorldJudge(), Judge)
    score_arm(truth, "truth", [WorldJudge()])
    found = lines(truth, "truth", "world-v2")
    assert len(found) == 4
    for item in truth.items:
        video = read_video(truth.clip("truth", item)).frames
        scores = found[item.key]["scores"]
        score = score_clip(video, item.prompt.text)
        assert scores["coherent"] == score.coherent == 1
        assert (scores["as_asked"], scores["explained"]) == (score.as_asked, score.explained)
        assert list(scores) == [measure.name for measure in WorldJudge.measures]


def test_a_clip_is_decoded_once_for_all_judges_and_never_again(truth, monkeypatch):
    decoded = []
    monkeypatch.setattr(scoring, "read_video", lambda path: decoded.append(path) or read_video(path))
    first, second = Brightness(), WorldJudge()
    assert score_arm(truth, "truth", [first, second]) == 4
    assert len(decoded) == 4
    assert {call[0] for call in first.calls} == {(6, 3, 64, 64)}
    assert {call[1] for call in first.calls} == {4}
    assert score_arm(truth, "truth", [first, second]) == 0
    assert len(decoded) == len(first.calls) == 4
    # A judge that comes later sees the clips; those before it aren't asked again.
    third = Brightness()
    third.name = "later"
    assert score_arm(truth, "truth", [first, third]) == 4
    assert (len(first.calls), len(third.calls)) == (4, 4)


def test_a_clip_that_changed_is_scored_again(truth):
    judge = Brightness()
    score_arm(truth, "truth", [judge])
    path = truth.clip("truth", truth.items[1])
    write_video(path, torch.full((6, 3, 64, 64), 200, dtype=torch.uint8), 4)
    assert score_arm(truth, "truth", [judge]) == 1
    assert lines(truth, "truth", "brightness")[truth.items[1].key]["scores"]["mean"] == pytest.approx(
        200, abs=2
    )


def test_a_killed_run_goes_on_after_its_last_whole_line(truth):
    judge = Brightness()
    score_arm(truth, "truth", [judge])
    path = truth.folder / "scores" / "truth.0.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])  # the line of the last clip itself is torn
    assert len(list(read_rows(path))) == 7
    assert score_arm(truth, "truth", [judge]) == 1
    assert len(judge.calls) == 4
    assert len(list(read_rows(path))) == 8
    path.write_bytes(whole[: len(whole) // 2])
    assert score_arm(truth, "truth", [judge]) >= 1
    assert set(lines(truth, "truth", "brightness")) == {item.key for item in truth.items}
    append_row(path, {"more": 1})
    assert list(read_rows(path))[-1] == {"more": 1}


def test_ranks_score_each_clip_once(truth):
    judges = [Brightness(), Brightness()]
    for number, judge in enumerate(judges):
        score_arm(truth, "truth", [judge], rank=Rank(number, 2))
    assert [len(judge.calls) for judge in judges] == [2, 2]
    assert len(lines(truth, "truth", "brightness")) == 4


@pytest.fixture
def bad_clips(tmp_path):
    """Nine prompts, of which one clip is as it should be, one refused, one without a number; the rest are unfit."""
    names = ("good", "refuse", "odd", "short", "small", "fast", "broken", "black", "still", "absent")
    suite = Suite(name="bad", prompts=tuple(Prompt(id=name, text=f"a {name} clip") for name in names))
    bench = Bench.create(tmp_path / "bench", suite)
    noise = torch.randint(0, 255, (9, 3, 32, 32), dtype=torch.uint8)
    folder = tmp_path / "in"
    clips = {name: noise for name in names[:3]} | {
        "short": noise[:5], "small": noise[..., :16], "black": noise // 32, "still": noise[:1].expand(9, -1, -1, -1)
    }  # fmt: skip
    for name, frames in clips.items():
        write_video(folder / f"{name}.mp4", frames, 8)
    write_video(folder / "fast.mp4", noise, 30)
    import_clips(bench, folder, "arm")
    (bench.arm_folder("arm") / "broken_s0.mp4").write_bytes(b"no video")
    return bench


def test_every_unfit_clip_is_told_and_the_valid_ones_are_scored(bad_clips):
    judge = Brightness()
    score_arm(bad_clips, "arm", [judge])
    own = {key[:-3]: line for key, line in lines(bad_clips, "arm", "clip").items()}
    problems = {name: line["problem"] for name, line in own.items() if line["problem"]}
    assert problems.keys() == {"short", "small", "fast", "broken"}
    length = "5 frames, where the arm's clips have 9"
    assert problems["short"] == f"{length} (import with --any-length to score every length)"
    assert problems["small"] == "16×32 px, where the arm's clips have 32×32"
    assert problems["fast"] == "30 fps, where the arm's clips have 8"
    assert problems["broken"].startswith("unreadable: ")
    assert {name: line["notice"] for name, line in own.items() if line["notice"]} == {
        "black": "black", "still": "still"
    }  # fmt: skip
    judged = {key[:-3]: line for key, line in lines(bad_clips, "arm", "brightness").items()}
    assert judged.keys() == {"good", "refuse", "odd", "black", "still"}
    assert judged["refuse"]["scores"] == {"mean": None, "odd": None}
    assert judged["refuse"]["problem"] == "a refuse clip (expected another prompt)"
    assert judged["odd"]["scores"]["mean"] is not None
    assert judged["odd"]["problem"] == "no value for odd"
    assert score_arm(bad_clips, "arm", [judge]) == 0


def test_resuming_a_finished_arm_of_many_clips_reads_no_clip(tmp_path, monkeypatch):
    suite = Suite(name="many", prompts=tuple(Prompt(id=f"p{i}", text=f"prompt {i}") for i in range(300)))
    bench = Bench.create(tmp_path / "bench", suite)
    small = tmp_path / "in" / "p0.mp4"
    write_video(small, torch.zeros(2, 3, 16, 16, dtype=torch.uint8), 8)
    import_clips(bench, tmp_path / "in", "arm")
    manifest = read_manifest(bench, "arm")
    write_manifest(bench, manifest)
    for item in bench.items[1:]:
        bench.clip("arm", item).hardlink_to(bench.clip("arm", bench.items[0]))
    judge = Brightness()
    assert score_arm(bench, "arm", [judge]) == 300
    monkeypatch.setattr(scoring, "read_video", None)
    assert score_arm(bench, "arm", [judge]) == 0


def test_what_a_judge_declares_stays_with_its_scores(truth):
    judge = Brightness()
    judge.measures = (Measure(name="mean", title="mean level", kind="px", better="lower"), judge.measures[1])
    judge.note = "Levels of 255."
    for _ in range(2):
        score_arm(truth, "truth", [judge])
    assert len(list(read_rows(truth.folder / "scores" / "judges.jsonl"))) == 1
    found = collect(truth)
    assert found.notes == {"brightness": "Levels of 255."}
    measure = found.measures["brightness.mean"]
    assert (measure.title, measure.shown_unit, measure.better) == ("mean level", "px", "lower")
    # A judge that says more of itself later is taken at its last word, without another look at the clips.
    judge.measures = (Measure(name="mean", title="brightness", kind="score"), judge.measures[1])
    assert score_arm(truth, "truth", [judge]) == 0
    assert collect(truth).measures["brightness.mean"].title == "brightness"


def test_judges_by_name_and_by_module():
    assert build_judges(["world"])[0].name == "world-v2"
    assert build_judges(["videojam.evaluation.world_judge:WorldJudge"])[0].name == "world-v2"
    for bad in (
        "beauty",
        "videojam.evaluation.world_judge:Nothing",
        "no_such_module:X",
        "",
        ":",
        "os:",
        ":x",
    ):
        with pytest.raises(VideoJamError, match="one of world"):
            build_judges([bad])


@pytest.mark.parametrize(
    "name", ["os:system", "os:_exit", "shutil:rmtree", "pathlib:Path", "os:environ", "sys:argv"]
)
def test_what_is_no_judge_is_refused_without_being_run(name):
    with pytest.raises(VideoJamError, match="which was not run"):
        build_judges([name])


def test_judges_of_ones_own_are_taken_or_refused_by_what_they_declare(tmp_path, monkeypatch):
    (tmp_path / "own_judges.py").write_text(
        "from videojam.evaluation.judge import Judge, Measure\n"
        "class Good:\n"
        "    name, measures = 'good', (Measure(name='a', title='a'),)\n"
        "    def __init__(self, device='cpu'): self.device = device\n"
        "    def score(self, video, fps, prompt): return {'a': 1.0}\n"
        "class Words(Good): measures = ('a',)\n"
        "class Twice(Good): measures = Good.measures * 2\n"
        "class Nothing(Good): measures = ()\n"
        "class Needs(Good):\n"
        "    def __init__(self, weights): pass\n"
        "class NoName:\n"
        "    def score(self, video, fps, prompt): return {}\n"
        "def build(device) -> list[Judge]: return [Good(device)]\n"
        "def unsaid(): return Good()\n"
        "def wrong() -> Judge: return 3\n"
    )
    (tmp_path / "broken_judges.py").write_text("this is no python")
    monkeypatch.syspath_prepend(tmp_path)
    assert build_judges(["own_judges:Good"], "cpu")[0].name == "good"
    assert build_judges(["own_judges:build"], "meta")[0].device == "meta"
    for bad, words in {
        "own_judges:Words": "not declared",
        "own_judges:Twice": "of one name",
        "own_judges:Nothing": "not declared",
        "own_judges:Needs": "needs weights",
        "own_judges:NoName": "without name",
        "own_judges:unsaid": "not run",
        "own_judges:wrong": "int, without name",
        "broken_judges:Good": "SyntaxError",
    }.items():
        with pytest.raises(VideoJamError, match=words):
            build_judges([bad])
    with pytest.raises(VideoJamError, match="different names"):
        build_judges(["own_judges:Good", "own_judges:build"])


def test_an_unknown_arm_lists_those_there_are(truth):
    with pytest.raises(VideoJamError, match="truth"):
        score_arm(truth, "other", [])


class Odd:
    """A judge that returns what it is given."""

    name, measures = "odd", (Measure(name="a", title="a"), Measure(name="b", title="b"))

    def __init__(self, returned):
        self.returned = returned

    def score(self, video, fps, prompt):
        return self.returned


@pytest.mark.parametrize(
    ("returned", "found"),
    [
        (None, "NoneType None"),
        ([1.0, 2.0], "list [1.0, 2.0]"),
        ("good", "str good"),
        (0.5, "float 0.5"),
        ({"a": "1.5", "b": 1}, "a = str 1.5"),
        ({"a": 1, "b": None}, "b = NoneType None"),
        ({"a": 1, "b": torch.ones(2)}, "b = Tensor"),
        ({"a": 1, "b": np.ones(3)}, "b = ndarray"),
        ({"a": 1, "b": 1j}, "b = complex"),
        ({"a": 1, "b": 2, "c": 3}, "'c', which it does not declare"),
    ],
)
def test_a_judge_that_returns_no_numbers_is_named(truth, returned, found):
    with pytest.raises(VideoJamError, match="what the judge odd returned for the clip") as refused:
        score_arm(truth, "truth", [Odd(returned)])
    assert found in refused.value.found
    assert lines(truth, "truth", "odd") == {}  # asked again once it is corrected


@pytest.mark.parametrize("returned", [{"a": True, "b": 2}, {"a": np.float32(1), "b": torch.tensor([2])}])
def test_numbers_of_any_library_are_numbers(truth, returned):
    score_arm(truth, "truth", [Odd(returned)])
    assert {tuple(line["scores"].values()) for line in lines(truth, "truth", "odd").values()} == {(1.0, 2.0)}


@pytest.mark.parametrize("returned", [{"a": math.nan, "b": 1}, {"b": 1}, {"a": math.inf, "b": np.float64(1)}])
def test_a_value_that_is_not_finite_or_absent_is_a_problem_of_its_clip(truth, returned):
    score_arm(truth, "truth", [Odd(returned)])
    found = lines(truth, "truth", "odd").values()
    assert {line["problem"] for line in found} == {"no value for a"}
    assert {line["scores"]["b"] for line in found} == {1.0}


@pytest.mark.parametrize(
    "edit",
    [
        {"scores": 1},
        {"scores": {"mean": "much"}},
        {"scores": {"mean": math.nan}},
        {"clip": ["a"]},
        {"stamp": {}},
        {"problem": 3},
        {"reasons": {"mean": "dark"}},
    ],
)
def test_a_line_of_other_values_is_named(truth, edit):
    score_arm(truth, "truth", [Brightness()])
    path = truth.score_files("truth")[0]
    line = json.loads(path.read_text().splitlines()[0])
    with path.open("a") as file:
        file.write(json.dumps(line | edit) + "\n")
    with pytest.raises(VideoJamError, match=r"truth\.0\.jsonl, line 9"):
        collect(truth)


def test_an_arm_reads_no_scores_of_an_arm_whose_name_goes_on_in_a_number(bench):
    """Files are ARM.RANK.jsonl, and an arm may be called `a.0`."""
    for arm in ("a", "a.0"):
        generate_arm(bench, parse_arm(f"{arm}=world:truth"))
        score_arm(bench, arm, [])
    assert [path.name for path in bench.score_files("a")] == ["a.0.jsonl"]
    assert [path.name for path in bench.score_files("a.0")] == ["a.0.0.jsonl"]
