"""What image-to-video models read of first frames: the same from a prepared folder as from the clips."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from tiny_pipelines import write_tiny_wan

from tiny_families import write_tiny_cogvideox, write_tiny_ltx
from videojam.data import encode
from videojam.data.config import FACTS_NAME, DataConfig, PreparedSource, WorldSource
from videojam.data.encode import prepare
from videojam.data.encoded import read_batch, read_latents
from videojam.data.layouts.world import own_bucket
from videojam.data.prepare.folder import prepare_folder
from videojam.data.prepare.request import PrepareRequest
from videojam.data.settings import ClipSettings, PrepareSettings
from videojam.data.shards import tensor_names
from videojam.errors import VideoJamError
from videojam.joint.widen import widen_transformer
from videojam.models.encoders import StoredEncoders
from videojam.models.load import load_model, with_image
from videojam.motion.code import MotionCode
from videojam.objective.config import ObjectiveConfig
from videojam.objective.denoiser import Denoiser
from videojam.objective.draws import draw
from videojam.training.config import TrainConfig
from videojam.training.run import train
from videojam.world import WorldConfig

EXACT = MotionCode(estimator="exact", scale=0.1)


class Base(NamedTuple):
    """A base that is trained as image-to-video.

    Attributes:
        write: Writes it.
        side: Of its clips, in px.
        columns: What it reads of the first frame.
    """

    write: Callable[[Path], Path]
    side: int
    columns: set[str]


BASES = {
    "wan-ti2v": Base(partial(write_tiny_wan, expand_timesteps=True), 32, {"image.first_latent"}),
    "ltx": Base(write_tiny_ltx, 64, {"image.first_latent"}),
    "wan-i2v": Base(
        partial(write_tiny_wan, image=True, clip=True),
        32,
        {"image.condition", "image.encoder_hidden_states_image"},
    ),
    "cogvideox-i2v": Base(
        partial(write_tiny_cogvideox, rotary=True, dpm=True, image=True), 32, {"image.condition"}
    ),
}


class Made(NamedTuple):
    """A base, the clips, and the folder that was prepared of them."""

    base: Path
    source: WorldSource
    out: Path


def prepare_of(base, source, out, **more):
    clips = ClipSettings(buckets=(own_bucket(source),), fps=source.fps)
    settings = PrepareSettings(clips=clips, motion=EXACT, max_sequence_length=8, **more)
    prepare_folder(PrepareRequest(source, out, str(base), settings), say=lambda line: None)
    return Made(base, source, out)


@pytest.fixture(scope="module")
def made_of(tmp_path_factory):
    """Prepares three clips of the world for a base, each once."""
    made: dict[str, Made] = {}

    def make(kind):
        if kind not in made:
            place = tmp_path_factory.mktemp(kind)
            world = WorldConfig(num_frames=9, pixel_px=BASES[kind].side // 8)
            source = WorldSource(num_clips=3, world=world)
            made[kind] = prepare_of(
                BASES[kind].write(place / "base"), source, place / "out", image_to_video=True
            )
        return made[kind]

    return make


def data_of(made, source, cache):
    config = DataConfig(source=source, cache=cache, num_heldout=1, max_sequence_length=8)
    return prepare(StoredEncoders(made.base, image_to_video=True), config, EXACT)


@pytest.mark.parametrize("kind", BASES)
def test_batches_and_losses_are_those_of_training_on_the_clips_bit_for_bit(
    kind, made_of, tmp_path, monkeypatch
):
    monkeypatch.setattr(encode, "BATCH_CLIPS", 1)  # as on a CPU when prepared: rounding depends on it
    made = made_of(kind)
    cached = data_of(made, made.source, tmp_path)
    own = data_of(made, PreparedSource(path=made.out), tmp_path)
    a, b = (read_batch(data.clips, "cpu") for data in (cached, own))
    assert {name for name in read_latents(own.clips[0]) if name.startswith("image.")} == BASES[kind].columns
    assert torch.equal(a.x, b.x)
    assert torch.equal(a.d, b.d)
    assert a.text.keys() == b.text.keys()
    assert all(torch.equal(a.text[name], b.text[name]) for name in a.text)
    model = with_image(load_model(made.base))
    transformer = widen_transformer(model.pipeline.transformer)
    draws = draw(ObjectiveConfig(), 0, 0, 3, tuple(a.x.shape[1:]))
    with torch.no_grad():
        losses = [
            torch.stack(Denoiser(transformer, model.family, True, data.null_text).losses(batch, draws))
            for data, batch in ((cached, a), (own, b))
        ]
    assert torch.isfinite(losses[0]).all()
    assert torch.equal(*losses)


@pytest.mark.slow
def test_a_run_on_the_folder_ends_with_the_weights_of_one_on_the_clips(made_of, tmp_path, monkeypatch):
    monkeypatch.setattr(encode, "BATCH_CLIPS", 1)
    made = made_of("wan-ti2v")
    weights = []
    for source in (made.source, PreparedSource(path=made.out)):
        recipe = {
            "base": str(made.base),
            "out": str(tmp_path / source.kind),
            "image_to_video": True,
            "data": {
                "source": source.model_dump(mode="json"),
                "cache": str(tmp_path / "cache"),
                "num_heldout": 1,
                "max_sequence_length": 8,
            },
            "motion": EXACT.model_dump(),
            "num_steps": 1,
            "batch_size": 2,
            "precision": "fp32",
        }
        config = TrainConfig.model_validate(recipe)
        assert train(config).ok
        weights.append(load_model(config.out / "model").pipeline.transformer.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_trained_as_text_to_video_it_reads_no_image(made_of):
    made = made_of("wan-ti2v")
    config = DataConfig(source=PreparedSource(path=made.out), num_heldout=1, max_sequence_length=8)
    data = prepare(StoredEncoders(made.base), config, EXACT)
    assert not any(name.startswith("image.") for name in read_latents(data.clips[0]))


def test_a_folder_without_first_frames_is_refused_with_the_flag_that_keeps_them(made_of, tmp_path):
    made = made_of("wan-ti2v")
    bare = prepare_of(made.base, made.source, tmp_path / "bare")
    assert not any(name.startswith("image.") for name in tensor_names(next(bare.out.glob("shard-*"))))
    assert "image" not in json.loads((bare.out / FACTS_NAME).read_text())
    with pytest.raises(VideoJamError, match=r"columns image\.\*") as caught:
        data_of(bare, PreparedSource(path=bare.out), tmp_path)
    assert "--image-to-video" in caught.value.fix
    with pytest.raises(VideoJamError, match="image = null"):
        prepare_of(made.base, made.source, bare.out, image_to_video=True)


def test_first_frames_of_another_pipeline_or_switch_are_refused_by_the_fields_name(made_of, tmp_path):
    made = made_of("wan-ti2v")
    facts = made.out / FACTS_NAME
    content = json.loads(facts.read_text())
    assert content["image"]["expand_timesteps"] is True
    try:
        facts.write_text(json.dumps({**content, "image": {**content["image"], "expand_timesteps": False}}))
        with pytest.raises(VideoJamError, match=r"image\.expand_timesteps = false"):
            data_of(made, PreparedSource(path=made.out), tmp_path)
        facts.write_text(json.dumps({key: value for key, value in content.items() if key != "image"}))
        with pytest.raises(VideoJamError, match=f"the field image of {FACTS_NAME}"):
            data_of(made, PreparedSource(path=made.out), tmp_path)  # of before this field was written
    finally:
        facts.write_text(json.dumps(content))


def test_a_base_that_is_only_text_to_video_is_refused_before_a_clip_is_read(tiny_wan, tmp_path):
    source = WorldSource(num_clips=1, world=WorldConfig(num_frames=9, pixel_px=4))
    with pytest.raises(VideoJamError, match="text-to-video base"):
        prepare_of(tiny_wan, source, tmp_path / "out", image_to_video=True)
    assert not (tmp_path / "out").exists()
