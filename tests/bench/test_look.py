"""The page of a prepared folder shows what was cached, and opens in a real browser."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

import pytest
import torch
from bench_browser import CHROMIUM, Browser

from videojam.bench.report.prepared import write_look
from videojam.data.look import LookRequest, cached_clips, similarity_db
from videojam.data.prepare.folder import prepare_folder
from videojam.data.prepare.request import PrepareRequest
from videojam.data.settings import ClipSettings, PrepareSettings, parse_bucket
from videojam.errors import VideoJamError
from videojam.motion.code import MotionCode
from videojam.motion.video import read_video, write_video


@pytest.fixture(scope="module")
def request_of(tmp_path_factory, tiny_wan):
    """Three clips of a texture that moves 2 px a frame, prepared, and one that can't be."""
    place = tmp_path_factory.mktemp("look")
    source = place / "clips"
    generator = torch.Generator().manual_seed(0)
    for i in range(3):
        texture = (torch.rand(3, 48, 64, generator=generator) * 255).byte()
        frames = torch.stack([texture.roll(2 * step, 2) for step in range(9)])
        write_video(source / f"{i}.mp4", frames, 8)
        (source / f"{i}.txt").write_text(f"<b>clip</b> {i}")
    (source / "bad.mp4").write_bytes(b"no video")
    (source / "bad.txt").write_text("x")
    settings = PrepareSettings(
        clips=ClipSettings(buckets=(parse_bucket("5x48x64"),), fps=8),
        motion=MotionCode(estimator="dis", scale=0.1),
        max_sequence_length=16,
    )
    prepare_folder(PrepareRequest(source, place / "out", str(tiny_wan), settings), say=lambda line: None)
    return LookRequest(place / "out")


def test_frames_are_those_of_the_file_and_latents_are_decoded_to_their_size(request_of):
    clips = list(cached_clips(request_of))
    assert [clip.name for clip in clips] == ["0.mp4", "1.mp4", "2.mp4"]
    source = request_of.folder.parent / "clips"
    for clip in clips:
        assert (clip.frames == read_video(source / clip.name, 5).frames).all()
        assert clip.flow.shape == clip.motion.shape == clip.appearance.shape == (5, 3, 48, 64)
        assert clip.note == ""
    assert [clip.name for clip in cached_clips(replace(request_of, num_clips=2))] == ["0.mp4", "1.mp4"]


def test_a_clip_that_is_gone_or_changed_shows_its_latents_and_says_so(request_of, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(request_of.folder.parent / "clips", moved)
    (moved / "0.mp4").unlink()
    shutil.copy(moved / "2.mp4", moved / "1.mp4")
    gone, changed, whole = cached_clips(replace(request_of, source=moved))
    assert (gone.frames, changed.frames) == (None, None)
    assert "no longer in" in gone.note
    assert "has changed" in changed.note
    assert whole.frames is not None
    (nowhere, *_) = cached_clips(replace(request_of, source=tmp_path / "absent"))
    assert "no such folder" in nowhere.note


def test_another_autoencoder_is_refused_by_name(request_of, tiny_wan, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(tiny_wan, other)
    from diffusers import AutoencoderKLWan

    vae = AutoencoderKLWan.from_pretrained(other / "vae")
    with torch.no_grad():
        next(iter(vae.parameters())).add_(1)
    vae.save_pretrained(other / "vae")
    with pytest.raises(VideoJamError, match="autoencoder = "):
        list(cached_clips(replace(request_of, base=str(other))))


def test_similarity_is_the_psnr():
    black = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    assert similarity_db(black, black) == float("inf")
    assert similarity_db(black, black + 255) == pytest.approx(0)
    assert similarity_db(black, black + 51) == pytest.approx(20 * 0.69897, abs=1e-3)  # 20·log10(255 / 51)


def test_the_page_is_whole_names_what_was_left_out_and_escapes_captions(request_of):
    done: list[tuple[int, int]] = []
    page = write_look(request_of, progress=lambda *now: done.append(now))
    assert done == [(1, 3), (2, 3), (3, 3)]  # of the 12 that a page shows, three are there
    text = page.read_text()
    assert page == request_of.folder / "look.html"
    assert text.count("<video") == 12
    assert "<b>clip</b>" not in text
    assert "bad.mp4" in text
    assert len(re.findall(r"PSNR \d+\.\d dB", text)) == 6
    assert not re.search(r'(?:src|href)="(?!data:)', text)


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_plays_in_a_browser_without_a_request_and_fits_its_width(request_of, tmp_path, width):
    page = request_of.folder / "look.html"
    if not page.exists():
        write_look(request_of)
    with Browser(tmp_path) as browser:
        browser.open(page, width)
        browser.wait_for("[...document.querySelectorAll('video')].every(v => v.readyState >= 2)")
        browser.wait_for("document.getElementById('frame').textContent !== '0.00 s'")
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        assert browser.problems == []
        assert [url for url in browser.requests if not url.startswith(("file:", "data:"))] == []
