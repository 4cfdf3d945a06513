"""From clips to pairs, and from votes made elsewhere to a report."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from videojam.bench.folder import Bench
from videojam.cli import app
from videojam.errors import CannotWriteError, VideoJamError
from videojam.motion.video import read_video
from videojam.study.config import Study, StudyConfig, budget, load_config, load_study
from videojam.study.create import Asked, new_study
from videojam.study.imports import import_votes
from videojam.study.report import write_report
from videojam.study.sources import find_arms, match_by_prompt


def cli(*words):
    """Run a verb in this process, as the console script does."""
    return CliRunner().invoke(app, ["study", *map(str, words)])


def test_a_study_has_pairs_checks_and_practice_and_names_nothing(made):
    study = load_study(made)
    assert [pair.arms for pair in study.pairs] == [("ours", "base")] * 4
    assert len(study.checks) == 2
    assert study.practice.arms[1] == "shuffled"
    names = [clip for pair in (*study.pairs, *study.checks, study.practice) for clip in pair.clips]
    assert len(set(names)) == 14
    assert {path.stem for path in (made / "clips").iterdir()} >= set(names)
    assert all(abs(pair.duration_s - 1 / 3) < 0.05 for pair in study.pairs)


def test_a_check_is_the_same_clip_with_its_frames_in_another_order(made):
    check = load_study(made).checks[0]
    true, shuffled = (read_video(made / "clips" / f"{name}.mp4").frames.float() for name in check.clips)
    # each frame of one is near a frame of the other; the order differs
    apart = (true[:, None] - shuffled[None]).abs().mean((2, 3, 4)).numpy()
    assert sorted(apart.argmin(1)) == list(range(8))
    assert list(apart.argmin(1)) != list(range(8))
    assert apart.min(1).max() < 3


def test_clips_lose_sound_and_metadata(tmp_path):
    from videojam.study.clips import copy_for_raters

    source = tmp_path / "model.mp4"
    command = "ffmpeg -loglevel error -f lavfi -i testsrc=s=64x36:d=0.5:r=24 -f lavfi -i sine=d=0.5 -pix_fmt yuv420p"
    subprocess.run([*command.split(), "-metadata", "title=VideoJAM-4B", str(source)], check=True)
    assert copy_for_raters(source, tmp_path / "copy.mp4") == pytest.approx(0.5, abs=0.05)
    assert b"VideoJAM" in source.read_bytes()
    assert b"VideoJAM" not in (tmp_path / "copy.mp4").read_bytes()
    with av.open(str(tmp_path / "copy.mp4")) as copy:
        assert [stream.type for stream in copy.streams] == ["video"]
    assert (read_video(source).frames == read_video(tmp_path / "copy.mp4").frames).all()


def test_clips_without_a_partner_are_listed(folders, tmp_path):
    from tests_study_clips import write_clips

    arms = find_arms(
        [folders[0], f"few={write_clips(tmp_path / 'few', 50, ('a cat runs', 'something else'))}"]
    )
    found = match_by_prompt(arms)
    assert [pair.clips[0].prompt for pair in found.pairs] == ["a cat runs"]
    assert len(found.unmatched) == 4
    assert any("few/clip1.mp4" in name and "ours has no clip" in why for name, why in found.unmatched.items())
    with pytest.raises(VideoJamError, match="'nobody'"):
        find_arms(folders, ["nobody", "ours"])
    with pytest.raises(VideoJamError, match="only ours"):
        find_arms(folders[:1])
    with pytest.raises(VideoJamError, match="twice"):
        find_arms([folders[0], folders[0]])


def test_a_suite_that_holds_one_text_twice_has_a_pair_for_each_of_its_clips(folders, tmp_path):
    """Two prompts of one text and one seed: two pairs, of one prompt; a clip that is missing shifts no other."""
    from videojam.bench.make.suites import Prompt, Suite

    texts = {"a-0": "a cat runs", "a-1": "A cat  runs", "b": "two discs meet"}
    prompts = tuple(Prompt(id=name, text=text) for name, text in texts.items())
    bench = Bench.create(tmp_path / "bench", Suite(name="twice", version=1, prompts=prompts))
    source = Path(folders[0].partition("=")[2]) / "clip0.mp4"
    for arm in ("ours", "base"):
        for item in bench.items:
            bench.clip(arm, item).parent.mkdir(parents=True, exist_ok=True)
            bench.clip(arm, item).write_bytes(source.read_bytes())
        (bench.folder / "arms" / arm / "manifest.json").write_text("{}")

    def ids():
        pairs = match_by_prompt(find_arms([str(bench.folder)], ["ours", "base"])).pairs
        return [tuple(clip.prompt_id for clip in pair.clips) for pair in pairs]

    assert ids() == [("a-0", "a-0"), ("a-1", "a-1"), ("b", "b")]
    bench.clip("base", bench.items[0]).unlink()
    assert ids() == [("a-1", "a-1"), ("b", "b")]


def test_the_budget_of_the_papers_study(made):
    study = load_study(made)
    pairs = [study.pairs[0].model_copy(update={"prompt_id": str(i)}) for i in range(128)]
    paper = study.model_copy(
        update={"pairs": tuple(pairs), "config": StudyConfig(repeat_share=0, check_share=0)}
    )
    assert budget(paper).startswith("128 prompts × 5 raters = 640 votes, about 2.7 h of rating")


def test_a_study_that_was_edited_or_is_of_another_version_is_refused(study_folder):
    path = study_folder / "study.json"
    before = path.read_text()
    path.write_text(before.replace('"min_checks_passed": 0.75', '"min_checks_passed": 0.1'))
    with pytest.raises(VideoJamError, match="edited"):
        load_study(study_folder)
    content = json.loads(before)
    content.pop("sha256")
    path.write_text(json.dumps(content | {"format": 2}))
    with pytest.raises(VideoJamError, match="format 2"):
        load_study(study_folder)


def test_votes_that_can_only_be_read_are_not_called_another_studys(study_folder, monkeypatch):
    def connect(path, mode):
        raise sqlite3.OperationalError("attempt to write a readonly database")

    monkeypatch.setattr("videojam.study.database._connect", connect)
    with pytest.raises(CannotWriteError, match="Change the permissions"):
        write_report(study_folder)


def test_a_config_that_does_not_fit_is_refused_by_key(tmp_path):
    path = tmp_path / "study.yaml"
    for no_keys in ("[]", "0", "''"):
        path.write_text(no_keys)
        with pytest.raises(VideoJamError, match="keys with values"):
            load_config(path)
    path.write_text("")
    assert load_config(path) == StudyConfig()
    path.write_text("title: T\nraters_per_pair: 0\n")
    with pytest.raises(VideoJamError, match="raters_per_pair"):
        load_config(path)
    path.write_text("questions: [{name: style, text: Which}]\nnum_checks: 2\n")
    with pytest.raises(VideoJamError, match="check: true"):
        load_config(path)
    path.write_text("questions: [{name: style, text: Which}]\n")
    assert load_config(path, num_checks=0).questions[0].name == "style"


VOTES = """prompt,rater,question,left,right,choice,category
a ball,ann,motion,ours,base,left,physics
a ball,ben,motion,base,ours,ours,physics
a ball,cat,motion,base,ours,a,physics
a wheel,ann,motion,ours,base,ours,rotation
a wheel,ben,motion,base,ours,B,rotation
a wheel,ben,motion,base,ours,B,rotation
a wheel,cat,motion,ours,base,neither,rotation
"""


def test_votes_of_a_csv(tmp_path):
    """Five votes hold: four for ours; a second vote and one for neither are listed."""
    (tmp_path / "votes.csv").write_text(VOTES)
    study, left_out = import_votes([tmp_path / "votes.csv"], tmp_path / "study", "ours")
    assert len(left_out) == 2
    assert any("second vote" in why for why in left_out.values())
    assert [pair.category for pair in study.pairs] == ["physics", "rotation"]
    results = write_report(tmp_path / "study")
    one = results.compared[0]
    assert (one.arm, one.other, one.question) == ("ours", "base", "motion")
    assert (one.votes.both.mean, one.votes.both.n) == (0.8, 5)
    assert (one.pairs.num_won, one.pairs.num_lost) == (2, 0)
    assert {c.category: c.votes.both.mean for c in results.categories} == {
        "physics": pytest.approx(2 / 3),
        "rotation": 1,
    }
    # what the report writes can be imported again, with the same result
    import_votes([tmp_path / "study/report/votes.csv"], tmp_path / "again", "ours")
    assert write_report(tmp_path / "again").compared[0].votes.wilson == one.votes.wilson


def test_votes_of_label_studio(tmp_path):
    data = {"prompt": "a ball", "left_arm": "base", "right_arm": "ours"}

    def annotation(who, result, **more):
        return {"completed_by": who, "result": result, **more}

    pairwise = {"from_name": "motion", "to_name": "v", "type": "pairwise", "value": {"selected": "right"}}
    choices = {"from_name": "quality", "to_name": "v", "type": "choices", "value": {"choices": ["left"]}}
    tasks = [
        {
            "id": 1,
            "data": data,
            "annotations": [annotation(7, [pairwise, choices]), annotation({"id": 8}, [pairwise])],
        },
        {
            "id": 2,
            "data": data | {"prompt": "b"},
            "annotations": [annotation(7, [pairwise], was_cancelled=True)],
        },
        {"id": 3, "data": {"prompt": "c"}, "annotations": []},
    ]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    study, left_out = import_votes([tmp_path / "export.json"], tmp_path / "study", "ours")
    assert sorted(left_out) == ["export.json, task 2, annotation 1", "export.json, task 3"]
    results = write_report(tmp_path / "study")
    assert {c.question: (c.votes.both.mean, c.votes.both.n) for c in results.compared} == {
        "motion": (1, 2),
        "quality": (0, 1),
    }
    assert study.questions == ("quality", "motion")


SIDES = {"prompt": "a ball", "left_arm": "base", "right_arm": "ours"}
VOTE = {"from_name": "motion", "value": {"selected": "right"}}


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ({"data": 3}, "its data has no prompt, left_arm, right_arm"),
        ({"data": SIDES | {"prompt": ["a"]}}, "its data has no prompt"),
        ({"data": SIDES, "annotations": 3}, "no annotation"),
        ({"data": SIDES, "annotations": [3]}, "cancelled or empty"),
        ({"data": SIDES, "annotations": [{"completed_by": 1, "result": {"a": 1}}]}, "cancelled or empty"),
        ({"data": SIDES, "annotations": [{"completed_by": 1, "result": [3]}]}, "an empty cell"),
        (
            {"data": SIDES, "annotations": [{"completed_by": 1, "result": [VOTE | {"value": 1}]}]},
            "neither a side",
        ),
        (
            {
                "data": SIDES,
                "annotations": [{"completed_by": 1, "result": [VOTE | {"value": {"choices": 1}}]}],
            },
            "neither",
        ),
        ({"data": SIDES, "annotations": [{"result": [VOTE]}]}, "an empty cell"),  # by nobody
    ],
)
def test_what_of_label_studio_is_no_vote_is_listed(tmp_path, task, why):
    (tmp_path / "export.json").write_text(json.dumps([{"id": 1, **task}]))
    with pytest.raises(VideoJamError, match=why):
        import_votes([tmp_path / "export.json"], tmp_path / "study")


def test_votes_from_elsewhere_have_no_links(tmp_path):
    (tmp_path / "votes.csv").write_text("prompt,rater,question,left,right,choice\na,b,quality,x,y,left\n")
    import_votes([tmp_path / "votes.csv"], tmp_path / "study")
    assert "without clips" in str(cli("links", tmp_path / "study").exception)


def test_files_without_votes_leave_nothing_behind(tmp_path):
    (tmp_path / "votes.csv").write_text("prompt,rater,question,left,right,choice\n,,,,,\n")
    with pytest.raises(VideoJamError, match="empty cell"):
        import_votes([tmp_path / "votes.csv"], tmp_path / "study")
    (tmp_path / "votes.json").write_text('{"a": 1}')
    with pytest.raises(VideoJamError, match="list of tasks"):
        import_votes([tmp_path / "votes.json"], tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_the_verbs_from_clips_to_a_report(folders, tmp_path):
    out = tmp_path / "study"
    done = cli("new", *folders, "--out", out, "--raters", "2", "--checks", "1")
    assert done.exit_code == 0, done.output
    assert "4 prompts × 2 raters = 8 votes" in done.stdout
    assert "it exists" in str(cli("new", *folders, "--out", out).exception)
    done = cli("links", out, "--count", "3", "--url", "https://example.org/")
    links = [line.split("\t")[1] for line in done.stdout.splitlines()]
    assert len(set(links)) == 3
    assert all(link.startswith("https://example.org/#t=") for link in links)
    token = links[0].partition("#t=")[2]
    assert token.encode() not in (out / "votes.sqlite").read_bytes()
    done = cli("report", out)
    assert done.exit_code == 0, done.output
    assert "0 of 8 votes" in done.stdout
    assert "no votes that count yet" in done.stdout


def test_the_benchs_report_shows_votes_beside_measures_and_the_paper(tmp_path, made):
    from videojam.bench.make.arms import parse_arm
    from videojam.bench.make.generate import generate_arm
    from videojam.bench.make.suites import Suite, load_suite
    from videojam.bench.report.report import write_report as write_bench_report

    prompts = load_suite("world").prompts[:2]
    bench = Bench.create(tmp_path / "bench", Suite(name="world", version=2, prompts=prompts))
    for name in ("ours", "base"):
        generate_arm(bench, parse_arm(f"{name}=world:truth,frames=12,height=32,width=32"))
    out = tmp_path / "study"
    study: Study = new_study(out, Asked([str(bench.folder)]), StudyConfig(num_checks=0))
    assert [pair.prompt_id for pair in study.pairs] == [p.id for p in prompts]
    lines = ["prompt,rater,question,left,right,choice"]
    lines += [
        f'"{p.text}",r{r},motion,ours,base,{"ours" if r else "base"}' for p in prompts for r in range(4)
    ]
    (tmp_path / "votes.csv").write_text("\n".join(lines))
    import_votes([tmp_path / "votes.csv"], tmp_path / "votes", "ours")
    write_report(tmp_path / "votes", bench.folder)
    (bench.folder / "human" / "notes.json").write_text("{}")
    results = write_bench_report(bench)
    assert results.human[0].shares[0].votes == 0.75
    assert ["notes.json" for p in results.problems if p.arm == "human"] == ["notes.json"]
    html = (bench.folder / "index.html").read_text()
    section = html.partition('id="human"')[2].partition("</section>")[0]
    assert "<b>75.0</b>" in section
    row = next(row for row in section.split("<tr") if "DiT-4B" in row)
    assert "82.0" in row  # the paper's Table 1, motion
    assert json.loads((bench.folder / "results.json").read_text())["human"][0]["arm"] == "ours"
    other = tmp_path / "other.csv"
    other.write_text("prompt,rater,question,left,right,choice\na,r,motion,x,y,x\n")
    import_votes([other], tmp_path / "other")
    with pytest.raises(VideoJamError, match="no x, y"):
        write_report(tmp_path / "other", bench.folder)


def test_a_clip_that_hardly_moves_makes_no_check(tmp_path):
    import torch

    from videojam.motion.video import write_video
    from videojam.study.clips import write_check

    rng = np.random.default_rng(0)
    still = torch.from_numpy(rng.integers(0, 255, (1, 3, 32, 32), dtype=np.uint8)).expand(12, -1, -1, -1)
    write_video(tmp_path / "still.mp4", still, 24)
    assert write_check(tmp_path / "still.mp4", tmp_path / "a.mp4", tmp_path / "b.mp4", 0) is None
    assert not Path(tmp_path / "a.mp4").exists()
