"""A data set becomes shards: the same latents as in training's cache, whatever interrupts the work."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import shutil
import signal
import time
from dataclasses import replace

import pytest
import torch

from moving_clips import moving_clip
from videojam.data import prepared
from videojam.data.config import FACTS_NAME, DataConfig, FolderSource, PreparedSource, prepared_facts
from videojam.data.encode import prepare
from videojam.data.encoded import read_batch, read_latents
from videojam.data.prepare.folder import prepare_folder
from videojam.data.prepare.request import PrepareRequest
from videojam.data.request import clip_fields, share_of
from videojam.data.settings import ClipSettings, PrepareSettings, parse_bucket
from videojam.data.shards import read_columns, read_facts_of, read_tensors, tensor_names
from videojam.errors import VideoJamError
from videojam.models.load import load_model, quiet_loading
from videojam.models.outline import loaded_encoders
from videojam.motion.code import MotionCode
from videojam.motion.video import write_video
from videojam.training.batches import batch_sizes, clips_of_step
from videojam.training.config import TrainConfig

DIS = MotionCode(estimator="dis", scale=0.1)
QUIET = {"say": lambda line: None}


def settings(*buckets, motion=DIS, **fields):
    buckets = tuple(parse_bucket(text) for text in buckets or ("5x32x32",))
    own = {key: fields.pop(key) for key in ("clips_per_shard", "batch_clips") if key in fields}
    return PrepareSettings(
        clips=ClipSettings(buckets=buckets, fps=8, **fields), motion=motion, max_sequence_length=16, **own
    )


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """Five readable clips, wide and tall, and one that can't be decoded."""
    folder = tmp_path_factory.mktemp("source")
    for seed in range(5):
        height, width = (32, 64) if seed < 3 else (64, 32)
        clip = moving_clip(seed, 9, height, width)
        write_video(folder / f"{seed}.mp4", clip.video, 8)
        (folder / f"{seed}.txt").write_text(clip.caption)
    (folder / "bad.mp4").write_bytes(b"nothing" * 50)
    (folder / "bad.txt").write_text("x")
    return folder


@pytest.fixture
def request_of(clips, tmp_path, tiny_wan):
    def make(out="out", *buckets, share=(0, 1), source=clips, **fields):
        return PrepareRequest(source, tmp_path / out, str(tiny_wan), settings(*buckets, **fields), share)

    return make


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def test_shards_hold_the_latents_of_trainings_own_cache(request_of, tiny_wan, clips, tmp_path):
    request = request_of(batch_clips=4)
    report = prepare_folder(request, **QUIET)
    assert (report.num_clips, report.num_shards, list(report.left_out)) == (5, 1, ["bad.mp4"])
    model = load_model(tiny_wan)
    source = FolderSource(path=clips, num_frames=5, height=32, width=32, fps=8, on_error="skip")
    config = DataConfig(source=source, cache=tmp_path / "cache", num_heldout=1, max_sequence_length=16)
    cached = prepare(model, config, DIS)
    own = prepare(model, config.model_copy(update={"source": PreparedSource(path=request.out)}), DIS)
    assert [clip.caption for clip in own.clips] == [clip.caption for clip in cached.clips]
    for mine, theirs in zip(own.clips, cached.clips, strict=True):
        a, b = read_latents(mine), read_latents(theirs)
        assert a.keys() == b.keys()
        for key in a:
            torch.testing.assert_close(a[key], b[key], rtol=1e-3, atol=1e-3)
    batch = read_batch(own.clips[:2], "cpu")
    assert batch.x.shape == batch.d.shape == (2, 4, 2, 4, 4)
    torch.testing.assert_close(
        own.null_text["encoder_hidden_states"], cached.null_text["encoder_hidden_states"]
    )
    assert "bad.mp4" in own.left_out


def test_a_row_has_mean_and_deviation_of_the_posterior(request_of, tiny_wan, clips):
    request = request_of(batch_clips=1)
    prepare_folder(request, **QUIET)
    (shard,) = request.out.glob("*.parquet")
    tensors = read_tensors(shard, 0)
    from videojam.motion.video import read_video

    video = read_video(clips / "0.mp4", 5, 8, 32, 32).frames
    model = load_model(tiny_wan)
    with torch.no_grad():
        posterior = model.pipeline.vae.encode(video.movedim(1, 0)[None].float() / 127.5 - 1).latent_dist
    std = torch.tensor(model.pipeline.vae.config["latents_std"]).view(-1, 1, 1, 1)
    mean = torch.tensor(model.pipeline.vae.config["latents_mean"]).view(-1, 1, 1, 1)
    torch.testing.assert_close(
        tensors["x_mean"].float(), (posterior.mean[0] - mean) / std, rtol=2e-3, atol=2e-3
    )
    torch.testing.assert_close(tensors["x_std"].float(), posterior.std[0] / std, rtol=2e-3, atol=2e-3)


def test_shapes_go_into_buckets_and_a_step_reads_one_of_them(request_of, tiny_wan, tmp_path):
    request = request_of("out", "5x32x64", "5x64x32", clips_per_shard=2)
    prepare_folder(request, **QUIET)
    names = sorted(path.name for path in request.out.glob("*.parquet"))
    assert names == [f"shard-0000{i}-{b}.parquet" for i, b in enumerate(("5x32x64", "5x32x64", "5x64x32"))]
    config = DataConfig(source=PreparedSource(path=request.out), num_heldout=1, max_sequence_length=16)
    data = prepare(load_model(tiny_wan), config, DIS)
    buckets = tuple(clip.bucket for clip in data.clips)
    seen = []
    for step in range(3):  # two batches of wide clips, one of tall ones
        numbers = clips_of_step(buckets, 2, seed=3, step=step)
        assert numbers == clips_of_step(buckets, 2, seed=3, step=step)
        assert len({buckets[number] for number in numbers}) == 1
        read_batch([data.clips[number] for number in numbers], "cpu")
        seen += numbers
    assert set(seen) == set(range(5))


def test_a_step_has_as_many_clips_of_a_smaller_size_as_hold_no_more_tokens(request_of, tiny_wan):
    request = request_of("tokens", "5x32x64", "5x32x32", clips_per_shard=2)
    prepare_folder(request, **QUIET)
    source = PreparedSource(path=request.out)
    data = prepare(
        load_model(tiny_wan), DataConfig(source=source, num_heldout=1, max_sequence_length=16), DIS
    )
    buckets = tuple(clip.bucket for clip in data.clips)
    recipe = {
        "base": "b",
        "out": "o",
        "num_steps": 1,
        "batch_size": 1,
        "data": {"source": {"kind": "prepared", "path": "p"}},
    }
    sizes = {
        by: batch_sizes(data.clips, TrainConfig.model_validate(recipe | {"batch_by": by}))
        for by in ("clips", "tokens")
    }
    assert sizes == {"clips": 1, "tokens": (("5x32x32", 2), ("5x32x64", 1))}  # 32 and 64 latent positions
    epoch = [clips_of_step(buckets, sizes["tokens"], seed=3, step=step) for step in range(4)]
    assert sorted(len(numbers) for numbers in epoch) == [1, 1, 1, 2]
    assert all({buckets[i] for i in numbers} == {"5x32x32"} for numbers in epoch if len(numbers) == 2)
    assert {i for numbers in epoch for i in numbers} == set(range(5))


def test_a_second_run_makes_nothing_and_other_settings_or_clips_are_refused_by_name(
    request_of, clips, tmp_path
):
    import shutil

    source = tmp_path / "copy"
    shutil.copytree(clips, source)
    request = request_of(source=source)
    prepare_folder(request, **QUIET)
    before = contents(request.out)
    report = prepare_folder(request, **QUIET)
    assert (report.num_kept, report.num_shards) == (1, 1)
    assert contents(request.out) == before
    for changed, name in (
        (request_of(source=source, fit="letterbox"), "clips.fit = "),
        (request_of(source=source, motion=DIS.model_copy(update={"scale": 0.2})), "motion.scale = "),
    ):
        with pytest.raises(VideoJamError, match=name):
            prepare_folder(changed, **QUIET)
    (source / "0.txt").write_text("another caption")
    with pytest.raises(VideoJamError, match=r"0\.mp4 is changed in caption"):
        prepare_folder(request, **QUIET)
    (source / "0.mp4").unlink()
    with pytest.raises(VideoJamError, match=r"0\.mp4 is gone"):
        prepare_folder(request, **QUIET)
    assert contents(request.out) == before


def test_shares_make_the_same_shards_as_one_process(request_of):
    whole, parts = (
        request_of("whole", clips_per_shard=2),
        [request_of("parts", share=(i, 2), clips_per_shard=2) for i in range(2)],
    )
    prepare_folder(whole, **QUIET)
    for part in parts:
        prepare_folder(part, **QUIET)
    assert contents(whole.out) == contents(parts[0].out)


def test_a_folder_that_another_process_has_just_begun_is_not_foreign(request_of):
    """Of processes that start at once, one may have written the manifest and not yet what decides the shards."""
    request = request_of()
    prepare_folder(request, **QUIET)
    whole = contents(request.out)
    for path in (request.out / FACTS_NAME, *request.out.glob("shard-*")):
        path.unlink()
    prepare_folder(request, **QUIET)
    assert contents(request.out) == whole


def test_an_unfinished_folder_is_not_trained_on(request_of, tiny_wan):
    request = request_of(share=(0, 2), clips_per_shard=2)
    prepare_folder(request, **QUIET)
    config = DataConfig(source=PreparedSource(path=request.out), num_heldout=1)
    with pytest.raises(VideoJamError, match="number 1 is missing"):
        prepare(load_model(tiny_wan), config, DIS)


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("prepared.json", "{}", "something else"),
        ("prepared.json", "[]", "something else"),
        ("prepared.json", "x", "Expecting value"),
        ("unused.json", "x", "Expecting value"),
        ("unused.json", "3", "not iterable"),
    ],
)
def test_damaged_facts_are_named(tmp_path, name, content, found):
    (tmp_path / name).write_text(content)
    read = prepared._unused if name == "unused.json" else prepared_facts
    with pytest.raises(VideoJamError, match=found) as caught:
        read(tmp_path)
    assert "videojam data prepare" in caught.value.fix


def test_training_refuses_another_motion_code_or_model_by_name(request_of, tiny_wan, tiny_wan_i2v):
    request = request_of()
    prepare_folder(request, **QUIET)
    config = DataConfig(source=PreparedSource(path=request.out), num_heldout=1, max_sequence_length=16)
    model = load_model(tiny_wan)
    with pytest.raises(VideoJamError, match=r"motion\.curve = "):
        prepare(model, config, DIS.model_copy(update={"curve": "sqrt"}))
    with torch.no_grad():
        next(iter(model.pipeline.vae.parameters())).add_(1)
    with pytest.raises(VideoJamError, match="autoencoder = "):
        prepare(model, config, DIS)


def test_still_and_wild_clips_are_left_out_with_their_speed(request_of, tmp_path):
    source = tmp_path / "still"
    source.mkdir()
    texture = (torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0)) * 255).byte()
    for name, step in (("still", 0), ("moving", 2)):
        frames = torch.stack([texture.roll(i * step, 2) for i in range(9)])
        write_video(source / f"{name}.mp4", frames, 8)
        (source / f"{name}.txt").write_text(name)
    report = prepare_folder(request_of(source=source, min_motion=0.001), **QUIET)
    assert list(report.left_out) == ["still.mp4"]
    assert "too still" in report.left_out["still.mp4"]
    report = prepare_folder(request_of("wild", source=source, max_motion=0.001), **QUIET)
    assert list(report.left_out) == ["moving.mp4"]


def test_a_damaged_shard_is_refused_by_its_name_and_made_again_once_deleted(request_of):
    request = request_of()
    prepare_folder(request, **QUIET)
    (shard,) = request.out.glob("*.parquet")
    whole = shard.read_bytes()
    start = whole.index(read_tensors(shard, 0)["x_mean"].numpy().tobytes())
    shard.write_bytes(whole[:start] + bytes(8) + whole[start + 8 :])
    with pytest.raises(VideoJamError, match="Delete the file"):
        read_tensors(shard, 0)
    shard.write_bytes(whole[:-40])
    with pytest.raises(VideoJamError, match="Delete the file"):
        prepare_folder(request, **QUIET)
    shard.unlink()
    with pytest.raises(VideoJamError, match=r"found no such file\. Prepare again"):
        read_tensors(shard, 0)
    prepare_folder(request, **QUIET)
    assert shard.read_bytes() == whole


def test_a_clip_that_vanishes_is_left_out_with_what_to_do_and_that_brings_it_back(
    request_of, clips, tmp_path
):
    source = shutil.copytree(clips, tmp_path / "source")
    request = request_of(source=source)
    (source / "bad.mp4").unlink()
    clip, aside = source / "1.mp4", tmp_path / "1.mp4"

    def lose(line):
        if "layout" in line:
            clip.rename(aside)

    report = prepare_folder(request, say=lose)
    reason = report.left_out["1.mp4"]
    assert "the file of the clip 1.mp4, which was there when the clips were listed" in reason
    assert "Put it back, delete the shard that was made without it, and prepare again." in reason
    aside.rename(clip)
    (shard,) = request.out.glob("*.parquet")
    shard.unlink()
    report = prepare_folder(request, **QUIET)
    assert (report.num_clips, "1.mp4" in report.left_out) == (5, False)


def test_missing_weights_of_raft_are_refused_before_the_texts_are_encoded(request_of, clips):
    request = request_of(motion=MotionCode(estimator="raft", scale=0.1))
    request = replace(
        request, settings=request.settings.model_copy(update={"raft_weights": "none.safetensors"})
    )
    with pytest.raises(VideoJamError, match="a weights file") as caught:
        prepare_folder(request, **QUIET)
    assert caught.value.where == "none.safetensors"
    assert not request.out.exists()


def test_a_full_disk_leaves_no_half_file_and_the_next_run_ends_with_the_same_bytes(request_of):
    """No file may be larger than so many bytes: first the settings don't fit, then the captions, then a shard."""
    quiet_loading()  # a captured progress bar is a file, too
    whole, request = request_of("whole"), request_of()
    prepare_folder(whole, **QUIET)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for largest in (100, 1500, 6000, 20_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, limits[1]))
        try:
            with pytest.raises(VideoJamError, match="room and permission") as caught:
                prepare_folder(request, **QUIET)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert "large" in caught.value.found.lower()
        assert not list(request.out.rglob("*.tmp-*"))
        assert not list(request.out.glob("shard-*"))
    assert prepare_folder(request, **QUIET).num_clips == 5
    assert contents(request.out) == contents(whole.out)


def test_a_folder_with_other_files_is_not_written_to(request_of, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("x")
    with pytest.raises(VideoJamError, match=r"thesis\.txt"):
        prepare_folder(request_of(), **QUIET)


def with_weights(pipe):
    modules = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    return {name for name, part in modules.items() if not next(part.parameters()).is_meta}


def test_encoders_are_loaded_without_transformer_and_one_after_the_other(tiny_wan):
    with loaded_encoders(tiny_wan, "text") as model:
        assert with_weights(model.pipeline) == {"text_encoder"}
    assert model.pipeline.text_encoder is None
    with loaded_encoders(tiny_wan, "pixels") as model:
        assert with_weights(model.pipeline) == {"vae"}
        assert model.family.latent_shape(model.pipeline, 5, 32, 32) == (4, 2, 4, 4)


def test_text_is_encoded_in_the_type_of_the_stored_weights(tiny_wan, tmp_path):
    import shutil

    folder = tmp_path / "bf16"
    shutil.copytree(tiny_wan, folder)
    model = load_model(tiny_wan)
    model.pipeline.text_encoder.bfloat16().save_pretrained(folder / "text_encoder")
    with loaded_encoders(folder, "text") as loaded:
        assert loaded.pipeline.text_encoder.dtype == torch.bfloat16


def test_the_share_comes_from_the_flag_or_the_launcher(tiny_wan):
    assert share_of(None, {}) == (0, 1)
    assert share_of("2/8", {"RANK": "1", "WORLD_SIZE": "4"}) == (2, 8)
    assert share_of(None, {"RANK": "1", "WORLD_SIZE": "4"}) == (1, 4)
    array = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "1"}
    assert share_of(None, array) == (2, 4)
    for wrong in ("8/8", "a", "1/0", "-1/2"):
        with pytest.raises(VideoJamError, match="0 ≤ I < N"):
            share_of(wrong, {})
    with pytest.raises(VideoJamError, match="a multiple of"):
        clip_fields(str(tiny_wan), ["5x30x32"], None)


def test_columns_and_facts_are_as_documented(request_of):
    request = request_of()
    prepare_folder(request, **QUIET)
    (shard,) = request.out.glob("*.parquet")
    rows = read_columns(shard, ["clip_id", "caption", "bucket", "split", "motion_mean"])
    assert [row["clip_id"] for row in rows] == [f"{i}.mp4" for i in range(5)]
    assert all(row["motion_mean"] >= 0 and row["bucket"] == "5x32x32" for row in rows)
    assert tensor_names(shard) == ("x_mean", "x_std", "d_mean", "d_std", "text.encoder_hidden_states")
    facts = read_facts_of(shard)
    assert (facts["schema_version"], facts["num_clips"], facts["left_out"]) == (1, 5, {})
    stored = json.loads((request.out / FACTS_NAME).read_text())
    assert stored["num_shards"] == 1


HELD = 3


def prepared_by(request):
    """Start a process of its own that prepares; its exit code is HELD where another one holds the folder."""

    def work():
        try:
            prepare_folder(request, **QUIET)
        except VideoJamError as error:
            os._exit(HELD if "no other run writes to" in str(error) else 1)
        os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    return process


@pytest.mark.slow
def test_killed_at_twenty_points_it_ends_with_the_same_bytes(request_of):
    """Kill −9 at 20 random times, then two preparers at once: the same bytes, no clip lost or doubled."""
    whole, killed = (request_of(name, clips_per_shard=1) for name in ("whole", "killed"))
    started = time.monotonic()
    process = prepared_by(whole)
    process.join()
    took = time.monotonic() - started
    assert process.exitcode == 0
    num_killed = 0
    for share in torch.rand(20, generator=torch.Generator().manual_seed(0)).tolist():
        for path in sorted(killed.out.glob("shard-*"))[2:]:
            path.unlink()  # so that there is work to be killed in
        process = prepared_by(killed)
        time.sleep(share * took)
        process.kill()
        process.join()
        num_killed += process.exitcode == -signal.SIGKILL
    assert num_killed >= 10
    both = [prepared_by(killed) for _ in range(2)]
    for process in both:
        process.join()
    assert sorted(process.exitcode for process in both) in ([0, 0], [0, HELD])
    assert contents(killed.out) == contents(whole.out)
    shards = sorted(killed.out.glob("*.parquet"))
    names = [row["clip_id"] for path in shards for row in read_columns(path, ["clip_id"])]
    assert names == [f"{i}.mp4" for i in range(5)]


def test_two_preparers_at_once_end_with_the_bytes_of_one(request_of):
    """Real processes: one holds the folder, the other is refused or comes later."""
    whole, shared = request_of("whole", clips_per_shard=2), request_of("shared", clips_per_shard=2)
    prepare_folder(whole, **QUIET)
    both = [prepared_by(shared) for _ in range(2)]
    for process in both:
        process.join()
    assert sorted(process.exitcode for process in both) in ([0, 0], [0, HELD])
    assert contents(shared.out) == contents(whole.out)


def test_two_shares_at_once_make_the_folder_together(request_of):
    whole = request_of("whole", clips_per_shard=1)
    prepare_folder(whole, **QUIET)
    shares = [request_of("parts", share=(i, 2), clips_per_shard=1) for i in range(2)]
    both = [prepared_by(request) for request in shares]
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert contents(shares[0].out) == contents(whole.out)


def test_two_preparers_at_once_the_second_is_refused(request_of):
    from videojam.locks import locked

    request = request_of()
    with locked(request.out, "prepare-0-of-1"), pytest.raises(VideoJamError, match="no other run"):
        prepare_folder(request, **QUIET)
