"""Batches read ahead are those that are read one by one, in an order that is a function of seed and step."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest
import torch

from videojam.data.config import DataConfig, FolderSource, PreparedSource
from videojam.data.encode import prepare
from videojam.data.encoded import read_batch
from videojam.data.latents import DrawnClip, encode_pixels
from videojam.data.loader import LoaderConfig, Order, read_ahead
from videojam.data.prepare.folder import prepare_folder
from videojam.data.prepare.request import PrepareRequest
from videojam.data.prepared import shard_files
from videojam.data.settings import ClipSettings, PrepareSettings, parse_bucket
from videojam.data.shards import read_tensors, tensors_of
from videojam.errors import VideoJamError
from videojam.models.load import load_model
from videojam.motion.code import MotionCode
from videojam.motion.video import write_video

DIS = MotionCode(estimator="dis", scale=0.1)
NUM_CLIPS = 6


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, tiny_wan):
    """Six clips of a moving texture, prepared by a text-to-video base; and the source."""
    place = tmp_path_factory.mktemp("loader")
    generator = torch.Generator().manual_seed(0)
    for i in range(NUM_CLIPS):
        texture = (torch.rand(3, 32, 32, generator=generator) * 255).byte()
        frames = torch.stack([texture.roll(step * (i + 1), 2) for step in range(5)])
        write_video(place / "clips" / f"{i}.mp4", frames, 8)
        (place / "clips" / f"{i}.txt").write_text(f"clip {i}")
    settings = PrepareSettings(
        clips=ClipSettings(buckets=(parse_bucket("5x32x32"),), fps=8),
        motion=DIS,
        max_sequence_length=16,
        clips_per_shard=4,
    )
    prepare_folder(
        PrepareRequest(place / "clips", place / "out", str(tiny_wan), settings), say=lambda line: None
    )
    return place


def config_of(prepared, **fields):
    source = PreparedSource(path=prepared / "out")
    return DataConfig(source=source, num_heldout=1, max_sequence_length=16, **fields)


@pytest.fixture(scope="module")
def clips(prepared, tiny_wan):
    return prepare(load_model(tiny_wan), config_of(prepared), DIS).clips


def orders(first=0, rank=0, num_ranks=1):
    """Endless orders of steps of four clips, dealt to processes."""
    step = first
    while True:
        generator = torch.Generator().manual_seed(step)
        numbers = torch.randperm(NUM_CLIPS, generator=generator)[:4].tolist()
        rows = tuple(range(rank, 4, num_ranks))
        yield Order(step, rows, tuple(numbers[row] for row in rows))
        step += 1


def same(a, b):
    return (
        torch.equal(a.x, b.x)
        and torch.equal(a.d, b.d)
        and all(torch.equal(a.text[k], b.text[k]) for k in a.text)
    )


@pytest.mark.parametrize("draw", ["mean", "posterior"])
def test_threads_change_nothing_and_a_resumed_run_reads_on_exactly(clips, draw):
    whole = list(islice(read_ahead(clips, orders(), LoaderConfig(0, draw), "cpu"), 8))
    for num_workers in (1, 3):
        ahead = read_ahead(clips, orders(), LoaderConfig(num_workers, draw), "cpu")
        assert all(same(a, b) for a, b in zip(whole, islice(ahead, 8), strict=True))
        ahead.close()
    resumed = read_ahead(clips, orders(first=5), LoaderConfig(2, draw), "cpu")
    assert all(same(a, b) for a, b in zip(whole[5:], islice(resumed, 3), strict=True))


@pytest.mark.parametrize("draw", ["mean", "posterior"])
def test_processes_read_the_rows_of_one_batch_each_once(clips, draw):
    config = LoaderConfig(2, draw, seed=3)
    (whole,) = islice(read_ahead(clips, orders(), config, "cpu"), 1)
    for rank in range(2):
        (part,) = islice(read_ahead(clips, orders(rank=rank, num_ranks=2), config, "cpu"), 1)
        assert torch.equal(part.x, whole.x[rank::2])
        assert torch.equal(part.d, whole.d[rank::2])


def test_many_threads_read_one_file_at_once(clips):
    """Parquet's reader isn't safe for two threads, so each has its own."""
    with ThreadPoolExecutor(8) as pool:
        batches = list(pool.map(lambda i: read_batch([clips[i % NUM_CLIPS]], "cpu"), range(200)))
    firsts = [read_batch([clip], "cpu") for clip in clips]
    assert all(same(batch, firsts[i % NUM_CLIPS]) for i, batch in enumerate(batches))


def test_a_batch_is_that_of_read_batch(clips):
    order = next(orders())
    (batch,) = read_ahead(clips, [order], LoaderConfig(1), "cpu")
    assert same(batch, read_batch([clips[number] for number in order.clips], "cpu"))


def test_draws_have_the_posteriors_mean_and_deviation_and_differ_by_step_row_and_seed(clips, prepared):
    stored = read_tensors(clips[0].path, clips[0].row, ("x_mean", "x_std", "d_mean", "d_std"))
    rows = tuple(range(400))
    (batch,) = read_ahead(clips, [Order(0, rows, (0,) * 400)], LoaderConfig(0, "posterior"), "cpu")
    for name, drawn in (("x", batch.x), ("d", batch.d)):
        mean, std = stored[f"{name}_mean"].float(), stored[f"{name}_std"].float()
        z = (drawn - mean) / std
        assert abs(float(z.mean())) < 0.02  # 400 × 128 draws: five standard errors are 0.022
        assert float(z.std()) == pytest.approx(1, abs=0.02)
    different = [
        next(read_ahead(clips, [Order(step, (row,), (0,))], LoaderConfig(0, "posterior", seed), "cpu")).x
        for step, row, seed in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))
    ]
    assert all(not torch.equal(a, b) for i, a in enumerate(different) for b in different[:i])
    assert not torch.equal(batch.x[0], batch.d[0])


def test_a_damaged_shard_stops_at_its_batch_with_its_name(clips, prepared, tmp_path):
    import shutil
    from dataclasses import replace

    copy = tmp_path / clips[0].path.name
    shutil.copy(clips[0].path, copy)
    content = bytearray(copy.read_bytes())
    start = content.index(read_tensors(clips[0].path, 0, ("x_mean",))["x_mean"].numpy().tobytes())
    content[start : start + 8] = bytes(8)
    copy.write_bytes(content)
    batches = read_ahead([clips[1], replace(clips[0], path=copy)], [Order(0, (0,), (0,)), Order(1, (0,), (1,))],
                         LoaderConfig(2), "cpu")  # fmt: skip
    next(batches)
    with pytest.raises(VideoJamError, match=copy.name):
        next(batches)


def test_the_cache_holds_no_deviations_to_draw_with(prepared, tiny_wan, tmp_path):
    source = FolderSource(path=prepared / "clips", num_frames=5, height=32, width=32, fps=8)
    config = DataConfig(source=source, cache=tmp_path, num_heldout=1, max_sequence_length=16)
    data = prepare(load_model(tiny_wan), config, DIS)
    with pytest.raises(VideoJamError, match=r"data\.draw: posterior"):
        next(read_ahead(data.clips, orders(), LoaderConfig(0, "posterior"), "cpu"))


def test_an_image_to_video_base_refuses_a_folder_without_image_columns(
    prepared, tiny_wan, tiny_wan_i2v, tmp_path
):
    model = load_model(tiny_wan_i2v)
    own = load_model(tiny_wan)
    model.pipeline.vae, model.pipeline.text_encoder = own.pipeline.vae, own.pipeline.text_encoder
    with pytest.raises(VideoJamError, match=r"columns image\.\*"):
        prepare(model, config_of(prepared), DIS)


def test_a_text_to_video_base_reads_a_folder_of_an_image_to_video_base_without_its_images(
    prepared, tiny_wan, tiny_wan_i2v, tmp_path
):
    settings = PrepareSettings(
        clips=ClipSettings(buckets=(parse_bucket("5x32x32"),), fps=8), motion=DIS, max_sequence_length=16
    )
    prepare_folder(
        PrepareRequest(prepared / "clips", tmp_path / "out", str(tiny_wan_i2v), settings),
        say=lambda line: None,
    )
    image_model, model = load_model(tiny_wan_i2v), load_model(tiny_wan)
    config = DataConfig(source=PreparedSource(path=tmp_path / "out"), num_heldout=1, max_sequence_length=16)
    with_image = read_batch(prepare(image_model, config, DIS).clips[:2], "cpu")
    model.pipeline.vae = image_model.pipeline.vae
    model.pipeline.text_encoder = image_model.pipeline.text_encoder
    without = read_batch(prepare(model, config, DIS).clips[:2], "cpu")
    assert torch.equal(with_image.x, without.x)
    assert set(without.text) < set(with_image.text)


@pytest.mark.parametrize("streaming", [True, False])
def test_hugging_face_datasets_read_the_shards_split_and_shuffled(prepared, streaming, tmp_path):
    datasets = pytest.importorskip("datasets")
    from datasets.distributed import split_dataset_by_node

    files = [str(path) for path in shard_files(prepared / "out")]
    rows = datasets.load_dataset(
        "parquet", data_files=files, split="train", streaming=streaming, cache_dir=str(tmp_path)
    )
    parts = [list(split_dataset_by_node(rows, rank=rank, world_size=2)) for rank in range(2)]
    assert sorted(row["clip_id"] for part in parts for row in part) == [f"{i}.mp4" for i in range(NUM_CLIPS)]
    assert {row["clip_id"] for row in parts[0]}.isdisjoint(row["clip_id"] for row in parts[1])
    shuffled = rows.shuffle(seed=1) if not streaming else rows.shuffle(seed=1, buffer_size=10)
    assert sorted(row["clip_id"] for row in shuffled) == [f"{i}.mp4" for i in range(NUM_CLIPS)]
    row = next(iter(rows))
    mine = read_tensors(shard_files(prepared / "out")[0], 0)
    theirs = tensors_of(row)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    with pytest.raises(VideoJamError, match="other bytes"):
        tensors_of(row | {"x_mean": bytes(len(row["x_mean"]))})


def test_a_deviation_that_is_not_finite_is_refused_with_the_clip(tiny_wan):
    model = load_model(tiny_wan)
    vae = model.pipeline.vae
    with torch.no_grad():
        vae.quant_conv.weight[vae.config.z_dim :] = float("nan")  # of the log variance; the means are finite
    clip = DrawnClip("one", "a ball", torch.zeros(5, 3, 32, 32, dtype=torch.uint8), None)
    with pytest.raises(
        VideoJamError, match="one: expected finite numbers in the deviation of the appearance"
    ):
        encode_pixels(model, [clip])
