"""Every layout gives the same clips and captions; what it doesn't use has a reason."""

from __future__ import annotations

import io
import json
import os
import tarfile

import pytest

from moving_clips import moving_clip
from videojam.data.clips import list_clips
from videojam.data.config import FolderSource
from videojam.data.facts import FactsTask, content_hash, read_facts
from videojam.data.layouts.detect import LAYOUTS, list_source
from videojam.errors import VideoJamError
from videojam.motion.video import read_video, write_video

CAPTIONS = {"one": "a red ball, falling", "two": "ein Rad läuft 🎈"}
pyarrow = pytest.importorskip("pyarrow")


@pytest.fixture(scope="session")
def bytes_of(tmp_path_factory):
    """Two real clips of 9 frames at 8 fps, as bytes."""
    folder = tmp_path_factory.mktemp("clips")
    for seed, name in enumerate(CAPTIONS):
        write_video(folder / f"{name}.mp4", moving_clip(seed, 9, 32, 48).video, 8)
    return {name: (folder / f"{name}.mp4").read_bytes() for name in CAPTIONS}


def put(root, bytes_of, *, where="", captions=None):
    (root / where).mkdir(parents=True, exist_ok=True)
    for name, content in bytes_of.items():
        (root / where / f"{name}.mp4").write_bytes(content)
    if captions is not None:
        (root / captions).mkdir(parents=True, exist_ok=True)
        for name, caption in CAPTIONS.items():
            (root / captions / f"{name}.txt").write_text(caption, encoding="utf-8")


def rows(file="file_name", caption="text", where=""):
    return [{file: f"{where}{name}.mp4", caption: text} for name, text in CAPTIONS.items()]


def csv(root, name, file, caption, where="", bom=""):
    lines = [f"{file},{caption}", *(f'{where}{clip}.mp4,"{text}"' for clip, text in CAPTIONS.items())]
    (root / name).write_text(bom + "\r\n".join(lines), encoding="utf-8")


def jsonl(root, name, content):
    (root / name).write_text("".join(json.dumps(row) + "\n" for row in content))


def parquet(root, name, content):
    from pyarrow import Table
    from pyarrow.parquet import write_table

    write_table(Table.from_pylist(content), root / name)


def sidecars(root, clips):
    put(root, clips, captions="")


def videos_and_metas(root, clips):
    put(root, clips, where="videos", captions="metas")


def metadata_csv(root, clips):
    put(root, clips)
    csv(root, "metadata.csv", "file_name", "text", bom="\ufeff")


def metadata_jsonl(root, clips):
    put(root, clips)
    jsonl(root, "metadata.jsonl", rows())


def metadata_parquet(root, clips):
    put(root, clips)
    parquet(root, "metadata.parquet", rows())


def metadata_of_a_split(root, clips):
    put(root, clips, where="train")
    csv(root, "train/metadata.csv", "file_name", "text")


def own_csv(root, clips):
    put(root, clips)
    csv(root, "clips.csv", "media_path", "Caption")


def own_json(root, clips):
    put(root, clips, where="videos")
    (root / "data.json").write_text(json.dumps(rows("video_path", "prompt")))


def own_json_mapping(root, clips):
    put(root, clips)
    (root / "data.json").write_text(json.dumps({f"{name}.mp4": text for name, text in CAPTIONS.items()}))


def own_jsonl_with_absolute_paths(root, clips):
    put(root, clips)
    jsonl(root, "list.jsonl", rows("path", "cap", where=f"{root}/"))


def prompts_and_videos(root, clips):
    put(root, clips, where="videos")
    (root / "prompts.txt").write_text("\n".join(CAPTIONS.values()) + "\n", encoding="utf-8")
    (root / "videos.txt").write_text("".join(f"videos/{name}.mp4\n" for name in CAPTIONS))


def videos2caption(root, clips):
    put(root, clips, where="videos")
    content = [{"path": f"{name}.mp4", "cap": [text], "fps": 8} for name, text in CAPTIONS.items()]
    (root / "videos2caption.json").write_text(json.dumps(content))


def webdataset(root, clips):
    for number, (name, text) in enumerate(CAPTIONS.items()):
        members = {f"{name}.mp4": clips[name]}
        members |= (
            {f"{name}.txt": text.encode()}
            if number
            else {f"{name}.json": json.dumps({"caption": text}).encode()}
        )
        with tarfile.open(root / f"{number:05d}.tar", "w") as tar:
            for member, content in members.items():
                info = tarfile.TarInfo(member)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


MAKERS = {
    sidecars: "sidecars",
    videos_and_metas: "videos and metas",
    metadata_csv: "videofolder",
    metadata_jsonl: "videofolder",
    metadata_parquet: "videofolder",
    metadata_of_a_split: "videofolder",
    own_csv: "table",
    own_json: "table",
    own_json_mapping: "table",
    own_jsonl_with_absolute_paths: "table",
    prompts_and_videos: "prompts and videos",
    videos2caption: "videos2caption",
    webdataset: "webdataset",
}


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_every_layout_gives_the_same_clips_and_captions(make, bytes_of, tmp_path):
    make(tmp_path, bytes_of)
    listing = list_source(tmp_path)
    assert listing.layout == MAKERS[make]
    assert {clip.caption for clip in listing.clips} == set(CAPTIONS.values())
    assert not listing.problems
    by_caption = {clip.caption: clip for clip in listing.clips}
    for name, caption in CAPTIONS.items():
        plain = tmp_path.parent / f"{tmp_path.name}-{name}.mp4"
        plain.write_bytes(bytes_of[name])
        place = by_caption[caption].place
        assert content_hash(place) == content_hash(plain)
        assert (read_video(place).frames == read_video(plain).frames).all()
        facts = read_facts(FactsTask(by_caption[caption]))
        assert (facts.num_frames, facts.fps, facts.height, facts.width) == (9, 8.0, 32, 48)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_training_lists_the_clips_of_every_layout(make, bytes_of, tmp_path):
    make(tmp_path, bytes_of)
    source = FolderSource(path=tmp_path, num_frames=5, height=32, width=32, fps=8)
    entries, left_out = list_clips(source)
    assert {entry.caption for entry in entries} == set(CAPTIONS.values())
    assert not left_out
    assert all(entry.read().video.shape == (5, 3, 32, 32) for entry in entries)


def test_a_layout_has_every_name_that_detection_gives():
    assert set(MAKERS.values()) == set(LAYOUTS)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"file_name": "absent.mp4", "text": "x"}, "no such file"),
        ({"file_name": "", "text": "x"}, "the name of a video file"),
        ({"file_name": "one.mp4", "text": ""}, "a caption in"),
        ({"file_name": "one.mp4", "text": None}, "a caption in"),
        ({"file_name": 7, "text": "x"}, "the name of a video file"),
        ({"file_name": "two.mp4", "text": "again"}, "a second entry"),
        ({"file_name": "one.mp4", "text": "x", "start": "late"}, "0 ≤ start < end"),
        ({"file_name": "one.mp4", "text": "x", "start": 3, "end": 1}, "0 ≤ start < end"),
        ({"file_name": "one.mp4", "text": "x", "start": -1}, "0 ≤ start < end"),
        ({"file_name": "\0", "text": "x"}, "no such file"),
        ({"file_name": "n" * 5000, "text": "x"}, "no such file"),
    ],
)
def test_a_row_that_names_no_clip_is_listed_with_its_reason(row, reason, bytes_of, tmp_path):
    put(tmp_path, bytes_of)
    jsonl(tmp_path, "metadata.jsonl", [{"file_name": "two.mp4", "text": "first"}, row])
    listing = list_source(tmp_path)
    assert [clip.clip_id for clip in listing.clips] == ["two.mp4"]
    assert any(reason in str(error) for error in listing.problems.values())


def test_files_that_no_row_names_are_listed_as_unused(bytes_of, tmp_path):
    put(tmp_path, bytes_of)
    jsonl(tmp_path, "metadata.jsonl", rows()[:1])
    assert list(list_source(tmp_path).problems) == ["two.mp4"]


def test_stretches_of_one_file_are_clips_of_their_own_and_splits_are_kept(bytes_of, tmp_path):
    put(tmp_path, bytes_of)
    stretch = {"file_name": "one.mp4", "text": "x"}
    content = [
        stretch | {"start": 0, "end": 0.5},
        stretch | {"start": 0.5},
        {"file_name": "two.mp4", "text": "y", "split": "val"},
    ]
    jsonl(tmp_path, "metadata.jsonl", content)
    listing = list_source(tmp_path)
    assert [(clip.clip_id, clip.split) for clip in listing.clips] == [
        ("one.mp4#0-0.5", "train"),
        ("one.mp4#0.5-", "train"),
        ("two.mp4", "validation"),
    ]
    source = FolderSource(path=tmp_path, num_frames=5, height=32, width=32, fps=8)
    entries, left_out = list_clips(source)
    assert list(left_out.values()) == ["it belongs to the split 'validation'"]
    assert entries[0].fingerprint != entries[1].fingerprint
    assert entries[1].read().video.shape[0] == 5
    with pytest.raises(VideoJamError, match=r"an end at 0\.5 s"):
        entries[0].read()


def test_prompts_that_are_not_as_many_as_the_videos_are_refused(bytes_of, tmp_path):
    prompts_and_videos(tmp_path, bytes_of)
    (tmp_path / "prompts.txt").write_text("only one\n")
    with pytest.raises(VideoJamError, match="1 and 2"):
        list_source(tmp_path)


def test_members_that_lead_out_of_a_tar_are_not_read_and_nothing_is_written(bytes_of, tmp_path):
    folder = tmp_path / "tars"
    folder.mkdir()
    with tarfile.open(folder / "0.tar", "w") as tar:
        for name, content in {
            "../evil.mp4": bytes_of["one"],
            "../evil.txt": b"x",
            "/abs.mp4": bytes_of["one"],
            "good.mp4": bytes_of["two"],
            "good.txt": b"fine",
            "alone.mp4": bytes_of["one"],
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("link.mp4")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    listing = list_source(folder)
    assert [clip.clip_id for clip in listing.clips] == ["0.tar/good"]
    reasons = {name: error.found for name, error in listing.problems.items()}
    assert reasons["0.tar/../evil.mp4"] == reasons["0.tar//abs.mp4"] == "one that leads out of it"
    assert reasons["0.tar/link.mp4"] == "a link or a device"
    assert "0.tar/alone" in reasons
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["0.tar", "tars"]


def test_a_compressed_or_damaged_tar_is_listed(bytes_of, tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("x.mp4"))
    (tmp_path / "b.tar").write_bytes(b"no tar" * 200)
    listing = list_source(tmp_path)
    assert set(listing.problems) == {"a.tar", "b.tar"}


def test_names_that_are_not_utf8_are_read_and_shown(bytes_of, tmp_path):
    name = os.fsdecode(b"caf\xe9")
    try:
        (tmp_path / f"{name}.mp4").write_bytes(bytes_of["one"])
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    (tmp_path / f"{name}.txt").write_text("x")
    (clip,) = list_source(tmp_path).clips
    assert clip.clip_id == r"caf\xe9.mp4"
    assert read_facts(FactsTask(clip)).num_frames == 9


def test_a_source_that_is_nothing_we_know(tmp_path):
    (tmp_path / "notes.md").write_text("x")
    for source, found in ((tmp_path / "absent", "no such folder"), (tmp_path / "notes.md", "another kind")):
        with pytest.raises(VideoJamError, match=found):
            list_source(source)
    with pytest.raises(VideoJamError, match="found 'tables'"):
        list_source(tmp_path, "tables")
