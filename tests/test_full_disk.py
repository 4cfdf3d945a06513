"""A full disk is named as what it is, and not as the fault of a clip that was to be written to it."""

from __future__ import annotations

import resource

import pytest

from moving_clips import moving_clip
from videojam.bench.make.imports import Matching, import_into
from videojam.errors import CannotWriteError, VideoJamError
from videojam.evaluation.external.clips import clips_of_folder
from videojam.evaluation.external.judge import ExportOptions
from videojam.evaluation.external.table import external_judge
from videojam.models.header import read_header
from videojam.motion.video import write_video
from videojam.study.config import load_config
from videojam.study.create import Asked, new_study
from videojam.world.folder import render_folder


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    for i in range(2):
        clip = moving_clip(i)
        write_video(folder / f"clip{i}.mp4", clip.video[:9], 12)
        (folder / f"clip{i}.txt").write_text(f"{clip.caption} {i}")
    (folder / "suite.txt").write_text("".join(f"{moving_clip(i).caption} {i}\n" for i in range(2)))
    (folder / "table.csv").write_text("file,id\nclip0.mp4,0001\nclip1.mp4,0002\n")
    return folder


def export(clips, out):
    external_judge("trajan").export(clips_of_folder(clips), out, ExportOptions())


def study(clips, out):
    new_study(out, Asked([f"a={clips}", f"b={clips}"], [], False, None), load_config(None, num_checks=0))


def bench(clips, out):
    table = clips / "table.csv"
    import_into(out, clips, "other", suite=str(clips / "suite.txt"), matching=Matching(table))


WRITE = {
    "world render": (lambda clips, out: render_folder(out, 1), 500),
    "judges export": (export, 1_000),
    "study new": (study, 1_000),
    "bench import": (bench, 1_500),
}


@pytest.mark.parametrize("verb", WRITE)
def test_the_error_names_the_place_and_nothing_empty_is_left(verb, clips, tmp_path):
    write, size = WRITE[verb]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))  # what a full disk looks like
    try:
        with pytest.raises(CannotWriteError) as refused:
            write(clips, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert refused.value.found == "File too large"
    assert refused.value.where.startswith(str(tmp_path))
    assert [path for path in tmp_path.rglob("*") if path.is_dir() and not any(path.iterdir())] == []


def test_weights_that_cannot_be_opened_are_not_called_broken(tmp_path):
    """As those without permission, which root has everywhere."""
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(VideoJamError) as refused:
        read_header(tmp_path / "model.safetensors")
    assert refused.value.expected == "a safetensors file that can be read"
    assert refused.value.found == "a folder"
