"""Eighty odd and broken clips: each is used rightly or listed with its reason; the table in docs/data.md says so."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import odd_files
import pytest
import torch
from odd_files import CAPTIONS, FAULTS, FILES, INTERRUPTIONS, NAMES, USED
from odd_writers import problems_of

from videojam.data.layouts.listing import name_of
from videojam.data.manifest import Manifest, make_manifest
from videojam.data.prepare.folder import prepare_folder
from videojam.data.prepare.request import PrepareReport, PrepareRequest
from videojam.data.prepared import shard_files
from videojam.data.settings import ClipSettings, PrepareSettings, parse_bucket
from videojam.data.shards import read_columns, read_tensors
from videojam.data.workers import WorkerConfig
from videojam.motion.code import MotionCode
from videojam.motion.video import read_video

SIZE = "5x48x64"
WORKERS = WorkerConfig(2, time_limit_s=60.0)


@dataclass(frozen=True)
class Prepared:
    """What became of the folder."""

    source: Path
    out: Path
    report: PrepareReport
    rows: dict[str, dict]
    before: dict[str, int]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, tiny_wan):
    place = tmp_path_factory.mktemp("odd")
    source = place / "clips"
    source.mkdir()
    for odd in FILES:
        odd.make(source / odd.name)
        (source / odd.name).with_suffix(".txt").write_text(odd.what, encoding="utf-8")
    plain = source / "plain.mp4"
    for what, name in NAMES.items():
        shutil.copy(plain, source / name)
        (source / name).with_suffix(".txt").write_text(what, encoding="utf-8")
    for name, content, _ in CAPTIONS.values():
        shutil.copy(plain, source / f"{name}.mp4")
        if content is not None:
            (source / f"{name}.txt").write_bytes(content)
    shutil.copy(plain, source / "twin.mp4")
    shutil.copy(plain.with_suffix(".txt"), source / "twin.txt")
    before = stamps(place)
    clips = ClipSettings(buckets=(parse_bucket(SIZE),), fps=8)
    motion = MotionCode(estimator="dis", scale=0.1)
    settings = PrepareSettings(clips=clips, motion=motion, max_sequence_length=16, clips_per_shard=20)
    request = PrepareRequest(source, place / "out", str(tiny_wan), settings, workers=WORKERS)
    report = prepare_folder(request, say=lambda line: None)
    rows = {
        row["clip_id"]: row
        for path in shard_files(request.out)
        for row in read_columns(path, ["clip_id", "caption", "num_frames", "fps"])
    }
    return Prepared(source, request.out, report, rows, before)


def stamps(place: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in place.rglob("*") if "out/" not in f"{path}/"}


@pytest.mark.parametrize("odd", FILES, ids=lambda odd: odd.name)
def test_a_file_is_used_rightly_or_listed_with_its_reason(prepared, odd):
    if odd.outcome != USED:
        assert odd.name not in prepared.rows
        assert odd.outcome in prepared.report.left_out[odd.name].replace(str(prepared.source / odd.name), "")
        return
    assert odd.name not in prepared.report.left_out
    assert odd.name in prepared.rows
    seen = read_video(prepared.source / odd.name, 5, 8, 48, 64).frames
    assert problems_of(seen.numpy()) == []


@pytest.mark.parametrize("what", NAMES)
def test_a_name_is_read_and_shown(prepared, what):
    assert prepared.rows[name_of(prepared.source / NAMES[what], prepared.source)]["caption"] == what


@pytest.mark.parametrize("what", CAPTIONS)
def test_a_caption_is_read_as_one_line_or_its_clip_is_listed(prepared, what):
    name, _, caption = CAPTIONS[what]
    if caption is None:
        assert "a caption in" in prepared.report.left_out[f"{name}.mp4"]
    else:
        assert prepared.rows[f"{name}.mp4"]["caption"] == caption


def test_every_clip_is_either_used_or_listed_and_nothing_is_written_outside_of_the_folder(prepared):
    names = {name_of(path, prepared.source) for path in prepared.source.iterdir() if path.suffix != ".txt"}
    assert prepared.rows.keys().isdisjoint(prepared.report.left_out)
    assert prepared.rows.keys() | prepared.report.left_out.keys() == names
    assert "the same bytes and caption as plain.mp4" in prepared.report.left_out["twin.mp4"]
    assert stamps(prepared.out.parent) == prepared.before


def test_shards_of_odd_files_hold_finite_latents_of_the_same_scene(prepared):
    """H.264, 4:4:4, turned, 120 fps …: the same scene gives nearly the same latents, whatever its file."""
    means = {
        row["clip_id"]: read_tensors(path, number, ("x_mean",))["x_mean"].float()
        for path in shard_files(prepared.out)
        for number, row in enumerate(read_columns(path, ["clip_id"]))
    }
    plain = means["plain.mp4"]
    for name in ("turned.mp4", "yuv444.mp4", "fast.mp4", "narrow.mp4", "ten_bit.mp4", "late.mkv"):
        assert float((means[name] - plain).abs().mean()) < 0.1 * float(plain.abs().mean())
    assert all(torch.isfinite(mean).all() for mean in means.values())


def test_check_says_the_same_of_all_that_headers_packets_and_first_frames_tell(prepared):
    manifest: Manifest = make_manifest(
        prepared.source, ClipSettings(buckets=(parse_bucket(SIZE),), fps=8), workers=WORKERS
    )
    only_decoding_says = set(prepared.report.left_out) - set(manifest.problems)
    assert only_decoding_says == {"damaged.mp4"}
    assert {row.clip_id for row in manifest.rows} == {*prepared.rows, *only_decoding_says}


@pytest.mark.parametrize("table", [odd_files.table(), odd_files.interruptions()], ids=["files", "runs"])
def test_the_tables_in_the_docs_are_those_of_these_tests(table):
    page = Path(__file__).parents[2].joinpath("docs/data.md").read_text(encoding="utf-8")
    assert f"\n|---|---|\n{table}\n\n" in page, f"docs/data.md should hold this table:\n{table}"


@pytest.mark.parametrize("fault", FAULTS + INTERRUPTIONS, ids=lambda fault: fault.what)
def test_each_row_names_a_test_that_is_there(fault):
    file, _, name = fault.test.partition("::")
    assert f"def {name}(" in Path(__file__).with_name(file).read_text(encoding="utf-8")
