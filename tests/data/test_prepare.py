"""Real clips in a folder become latents in the cache; what can't be used is named."""

from __future__ import annotations

import os
import shutil
from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from videojam.data.cache import read_encoded
from videojam.data.clips import list_clips
from videojam.data.config import DataConfig, FolderSource, WorldSource
from videojam.data.encode import prepare
from videojam.errors import VideoJamError
from videojam.models.load import load_model
from videojam.motion.code import MotionCode
from videojam.motion.estimators import DisFlow, RaftFlow
from videojam.motion.flow import motion_video
from videojam.motion.video import write_video
from videojam.world import KINDS, WorldConfig, sample_clip

DIS = MotionCode(estimator="dis", scale=0.1)
EXACT = MotionCode(estimator="exact", scale=0.1)


def textured(height, width, num_frames, step_px=2, seed=0):
    """A random texture that moves to the right."""
    noise = torch.rand(
        1, 3, height // 4, width // 4 + num_frames, generator=torch.Generator().manual_seed(seed)
    )
    wide = torch.nn.functional.interpolate(noise, size=(height, width + 4 * num_frames), mode="bicubic")[0]
    frames = [
        wide[:, :, step_px * (num_frames - i) : step_px * (num_frames - i) + width] for i in range(num_frames)
    ]
    return (torch.stack(frames).clamp(0, 1) * 255).byte()


def write_with_audio(path, frames, fps):
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=Fraction(fps))
        video.width, video.height, video.pix_fmt = frames.shape[3], frames.shape[2], "yuv420p"
        audio = container.add_stream("aac", rate=16000)
        for frame in frames:
            container.mux(
                video.encode(av.VideoFrame.from_ndarray(frame.permute(1, 2, 0).numpy(), format="rgb24"))
            )
        container.mux(video.encode())
        samples = av.AudioFrame.from_ndarray(
            np.zeros((1, 16000), dtype=np.float32), format="fltp", layout="mono"
        )
        samples.sample_rate = 16000
        container.mux(audio.encode(samples))
        container.mux(audio.encode())


@pytest.fixture
def clips(tmp_path):
    """Ordinary files: landscape, portrait, another fps and length, one with audio."""
    folder = tmp_path / "clips"
    (folder / "deeper").mkdir(parents=True)
    write_video(folder / "landscape.mp4", textured(48, 80, 20), 24)
    write_video(folder / "portrait.mp4", textured(96, 54, 30, seed=1), 30)
    write_video(folder / "deeper" / "slow.mp4", textured(64, 64, 12, seed=2), 12)
    write_with_audio(folder / "audio.mp4", textured(64, 64, 26, seed=3), 25)
    for file in folder.rglob("*.mp4"):
        file.with_suffix(".txt").write_text(f"a texture moves in {file.stem}\n")
    return folder


def config(folder, tmp_path, **source):
    defaults = {"path": folder, "num_frames": 5, "height": 32, "width": 32, "fps": 8}
    return DataConfig(
        source=FolderSource(**(defaults | source)),
        cache=tmp_path / "cache",
        num_heldout=1,
        max_sequence_length=16,
    )


@pytest.fixture(scope="module")
def model(tiny_wan):
    return load_model(tiny_wan)


def test_ordinary_files_become_latents_of_both_halves_and_text(model, clips, tmp_path):
    data = prepare(model, config(clips, tmp_path), DIS)
    assert sorted(clip.caption for clip in data.clips) == [
        f"a texture moves in {stem}" for stem in ("audio", "landscape", "portrait", "slow")
    ]
    for clip in data.clips:
        tensors = read_encoded(clip.path)
        assert tensors["x"].shape == tensors["d"].shape == (4, 2, 4, 4)
        assert tensors["text.encoder_hidden_states"].shape == (16, 16)
    assert any("median" in note for note in data.notes)
    assert data.null_text["encoder_hidden_states"].shape == (1, 16, 16)


def test_latents_are_the_pipelines_own_encoding_of_clip_and_motion_video(model, tmp_path):
    world = WorldConfig(num_frames=9, pixel_px=4)
    source = WorldSource(num_clips=3, seed=7, world=world)
    data = prepare(
        model, DataConfig(source=source, cache=tmp_path, num_heldout=1, max_sequence_length=16), EXACT
    )
    clip = sample_clip(8, world)
    tensors = read_encoded(data.clips[1].path)
    mean, std = (
        torch.tensor(model.pipeline.vae.config[k]).view(1, -1, 1, 1, 1)
        for k in ("latents_mean", "latents_std")
    )
    for key, frames in (("x", clip.video), ("d", motion_video(clip.flow, EXACT))):
        pixels = frames.permute(1, 0, 2, 3)[None].float() / 127.5 - 1
        with torch.no_grad():
            expected = (model.pipeline.vae.encode(pixels).latent_dist.mode() - mean) / std
        torch.testing.assert_close(tensors[key].float(), expected[0], rtol=2e-3, atol=2e-3)
    embeds, _ = model.pipeline.encode_prompt(
        clip.caption, do_classifier_free_guidance=False, max_sequence_length=16
    )
    torch.testing.assert_close(tensors["text.encoder_hidden_states"], embeds[0], rtol=1e-5, atol=1e-5)


def test_world_clips_are_listed_with_the_captions_of_their_clips():
    world = WorldConfig(num_frames=9, pixel_px=4, kinds=KINDS)
    entries, left_out = list_clips(WorldSource(num_clips=10, seed=7, world=world))
    assert [entry.caption for entry in entries] == [sample_clip(7 + i, world).caption for i in range(10)]
    assert not left_out


def test_the_cache_is_used_again_and_keyed_by_content_and_config(model, clips, tmp_path):
    first = prepare(model, config(clips, tmp_path), DIS)
    stamps = {clip.path: clip.path.stat().st_mtime_ns for clip in first.clips}
    again = prepare(model, config(clips, tmp_path), DIS)
    assert {clip.path: clip.path.stat().st_mtime_ns for clip in again.clips} == stamps
    (clips / "audio.txt").write_text("another caption")
    changed = prepare(model, config(clips, tmp_path), DIS)
    assert len({c.path for c in changed.clips} & set(stamps)) == 3
    assert not {
        c.path for c in prepare(model, config(clips, tmp_path), DIS.model_copy(update={"scale": 0.2})).clips
    } & set(stamps)
    assert not {c.path for c in prepare(model, config(clips, tmp_path, fps=6), DIS).clips} & set(stamps)


def test_a_broken_cache_file_is_encoded_anew(model, clips, tmp_path):
    path = prepare(model, config(clips, tmp_path), DIS).clips[0].path
    whole = {key: tensor.clone() for key, tensor in read_encoded(path).items()}  # not the file, mapped
    path.write_bytes(path.read_bytes()[:500])
    prepare(model, config(clips, tmp_path), DIS)
    again = read_encoded(path)
    for key, tensor in whole.items():  # not bit for bit: it was encoded alone this time, not in a batch
        torch.testing.assert_close(again[key], tensor, rtol=5e-3, atol=5e-3)


def test_raft_with_random_weights_prepares_a_folder(model, clips, tmp_path):
    code = DIS.model_copy(update={"estimator": "raft"})
    raft = RaftFlow(weights=None, num_updates=1)
    data = prepare(model, config(clips, tmp_path, num_frames=5), code, estimator=raft)
    assert len(data.clips) == 4


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "audio.txt").unlink(), "a caption in audio.txt"),
        (lambda folder: (folder / "audio.txt").write_text("  \n"), "an empty file"),
        (lambda folder: (folder / "audio.txt").write_bytes(b"\xff\xfe\x00caf\xe9"), "not UTF-8"),
        (lambda folder: (folder / "audio.mp4").write_bytes(b""), "audio.mp4"),
        (lambda folder: (folder / "audio.mp4").write_bytes(b"no video at all" * 100), "audio.mp4"),
        (lambda folder: write_video(folder / "audio.mp4", textured(64, 64, 3), 8), "at least 5 frames"),
    ],
)
def test_an_unusable_clip_stops_or_is_left_out_with_its_reason(model, clips, tmp_path, spoil, message):
    spoil(clips)
    with pytest.raises(VideoJamError, match=message):
        prepare(model, config(clips, tmp_path), DIS)
    data = prepare(model, config(clips, tmp_path, on_error="skip"), DIS)
    assert len(data.clips) == 3
    assert list(data.left_out) == [str(clips / "audio.mp4")]
    assert message in next(iter(data.left_out.values()))


def test_a_copy_of_a_clip_is_not_counted_twice(model, clips, tmp_path):
    """It would weigh double, and its text was removed when the first of the two had been encoded."""
    for suffix in (".mp4", ".txt"):
        shutil.copy(clips / f"audio{suffix}", clips / f"copy{suffix}")
    with pytest.raises(VideoJamError, match=r"copy\.mp4: expected each clip once.*on_error=skip"):
        prepare(model, config(clips, tmp_path), DIS)
    data = prepare(model, config(clips, tmp_path, on_error="skip"), DIS)
    assert len(data.clips) == 4
    assert list(data.left_out) == [str(clips / "copy.mp4")]
    (clips / "copy.txt").write_text("another caption")  # makes it a clip of its own
    assert len(prepare(model, config(clips, tmp_path), DIS).clips) == 5


def test_a_folder_that_is_missing_or_empty(tmp_path):
    source = {"num_frames": 5, "height": 32, "width": 32, "fps": 8}
    with pytest.raises(VideoJamError, match="found no such folder"):
        list_clips(FolderSource(path=tmp_path / "absent", **source))
    with pytest.raises(VideoJamError, match="found none"):
        list_clips(FolderSource(path=tmp_path, **source))


def test_exact_flow_of_real_files_is_refused(model, clips, tmp_path):
    with pytest.raises(VideoJamError, match="exact"):
        prepare(model, config(clips, tmp_path), EXACT)


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_a_clip_that_vanishes_while_others_are_encoded(model, clips, tmp_path, on_error):
    class Losing:
        """DIS, with which the last clip vanishes as the first is measured."""

        name = "dis"

        def __call__(self, video):
            (clips / "portrait.mp4").unlink(missing_ok=True)
            return DisFlow()(video)

    def encoded():
        return prepare(model, config(clips, tmp_path, on_error=on_error), DIS, estimator=Losing())

    words = (
        "the file of the clip portrait.mp4, which was there when the clips were listed, found no such file"
    )
    if on_error == "stop":
        with pytest.raises(VideoJamError, match=words):
            encoded()
        return
    data = encoded()
    assert len(data.clips) == 3
    assert words in data.left_out[str(clips / "portrait.mp4")]


def test_too_few_clips_says_why_the_others_are_missing(model, clips, tmp_path):
    for file in clips.rglob("*.txt"):
        file.unlink()
    with pytest.raises(VideoJamError, match="4 clips were left out"):
        prepare(model, config(clips, tmp_path, on_error="skip"), DIS)


def test_odd_sizes_are_refused_with_the_nearest_that_fit(model, clips, tmp_path):
    with pytest.raises(VideoJamError, match="multiple of 16"):
        prepare(model, config(clips, tmp_path, height=33), DIS)


def test_clips_of_another_frame_rate_are_named_also_from_the_cache(model, clips, tmp_path):
    for _ in range(2):
        data = prepare(model, config(clips, tmp_path), DIS)
        (note,) = [note for note in data.notes if "uneven_rate" in note]
        # 12, 25 and 30 fps do not give 8 in even steps; 24 does.
        assert note.startswith("3 of 4 clips")
        assert "slow.mp4 (12 fps)" in note
        assert "landscape" not in note


def test_a_clip_of_a_refused_rate_is_left_out_with_its_reason(model, clips, tmp_path):
    source = config(clips, tmp_path, uneven_rate="refuse", on_error="skip", fps=12)
    data = prepare(model, source, DIS)
    assert len(data.clips) == 3  # 25 fps is off by a third of a frame after five, which changes none of them
    assert list(data.left_out) == [str(clips / "portrait.mp4")]
    assert "found 30 fps" in data.left_out[str(clips / "portrait.mp4")]


def test_the_warning_on_the_scale_names_the_users_value(model, clips, tmp_path):
    data = prepare(model, config(clips, tmp_path), DIS.model_copy(update={"scale": 5.0}))
    (warning,) = [note for note in data.notes if "nearly invisible" in note]
    assert "scale (now 5)" in warning
    assert "m = 1 is 226 px/frame" in warning  # 5·sqrt(32² + 32²)


def test_no_weights_are_loaded_where_clips_bring_their_flow(model, tmp_path, monkeypatch):
    monkeypatch.setattr("videojam.motion.estimators.RaftFlow", None)
    world = WorldSource(num_clips=2, world=WorldConfig(num_frames=9, pixel_px=4))
    data = DataConfig(source=world, cache=tmp_path, num_heldout=1, max_sequence_length=16)
    assert len(prepare(model, data, MotionCode(estimator="raft", scale=0.1)).clips) == 2


@pytest.mark.parametrize("spoil", ["file", "read-only"])
def test_a_cache_that_cant_be_written_is_refused_by_its_key(model, clips, tmp_path, spoil):
    cache = tmp_path / "cache"
    if spoil == "file":
        cache.write_text("")
    else:
        if os.geteuid() == 0:
            pytest.skip("root may write anywhere")
        cache.mkdir(mode=0o500)
    with pytest.raises(VideoJamError, match=r"data\.cache"):
        prepare(model, config(clips, tmp_path), DIS)
