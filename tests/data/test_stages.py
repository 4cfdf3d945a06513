"""Encoders are in memory one after another, in their own type, and not at all where the cache holds everything."""

from __future__ import annotations

import shutil

import pytest
import torch

from videojam.data.cache import read_encoded
from videojam.data.config import DataConfig, WorldSource
from videojam.data.encode import prepare
from videojam.models.encoders import StoredEncoders
from videojam.models.load import load_model
from videojam.models.outline import loaded_encoders, outline
from videojam.motion.code import MotionCode
from videojam.world import WorldConfig

EXACT = MotionCode(estimator="exact", scale=0.1)


def config(cache, num_clips=3):
    world = WorldSource(num_clips=num_clips, world=WorldConfig(num_frames=9, pixel_px=4))
    return DataConfig(source=world, cache=cache, num_heldout=1, max_sequence_length=16)


@pytest.fixture
def loads(monkeypatch):
    """The parts that are loaded, in order."""
    import videojam.models.outline as module

    seen, stock = [], module._from_pretrained
    monkeypatch.setattr(
        module,
        "_from_pretrained",
        lambda folder, part, names: (seen.append(part), stock(folder, part, names))[1],
    )
    return seen


def test_text_before_pixels_and_nothing_where_all_is_cached(tiny_wan, tmp_path, loads):
    first = prepare(StoredEncoders(tiny_wan), config(tmp_path), EXACT)
    assert [part for part in loads if part != "none"] == ["text", "pixels"]
    loads.clear()
    again = prepare(StoredEncoders(tiny_wan), config(tmp_path), EXACT)
    assert set(loads) <= {"none"}
    assert again.clips == first.clips
    assert torch.equal(*(data.null_text["encoder_hidden_states"] for data in (first, again)))
    assert sorted(path.name for path in first.clips[0].path.parent.iterdir()) == sorted(
        ["config.json", "null_text.safetensors", *(clip.path.name for clip in first.clips)]
    )


def test_a_run_that_was_stopped_between_the_stages_encodes_no_text_again(
    tiny_wan, tmp_path, loads, monkeypatch
):
    class Stopped(StoredEncoders):
        def pixels(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(Stopped(tiny_wan), config(tmp_path), EXACT)
    loads.clear()
    data = prepare(StoredEncoders(tiny_wan), config(tmp_path), EXACT)
    assert [part for part in loads if part != "none"] == ["pixels"]
    assert len(data.clips) == 3


def test_stored_and_loaded_encoders_give_the_same_latents(tiny_wan, tmp_path):
    stored = prepare(StoredEncoders(tiny_wan), config(tmp_path / "a"), EXACT)
    loaded = prepare(load_model(tiny_wan), config(tmp_path / "b"), EXACT)
    for ours, theirs in zip(stored.clips, loaded.clips, strict=True):
        a, b = read_encoded(ours.path), read_encoded(theirs.path)
        assert a.keys() == b.keys() == {"x", "d", "text.encoder_hidden_states"}
        assert all(torch.equal(a[key], b[key]) for key in a)


def test_text_is_kept_in_the_type_of_the_stored_encoder(tiny_wan, tmp_path):
    folder = tmp_path / "bf16"
    shutil.copytree(tiny_wan, folder)
    load_model(tiny_wan).pipeline.text_encoder.bfloat16().save_pretrained(folder / "text_encoder")
    data = prepare(StoredEncoders(folder), config(tmp_path / "cache"), EXACT)
    assert read_encoded(data.clips[0].path)["text.encoder_hidden_states"].dtype == torch.bfloat16


@pytest.mark.parametrize("kind", ["t2v", "i2v", "per_token", "experts"])
def test_an_outline_has_the_sizes_of_the_loaded_pipeline_and_no_weights(tiny_bases, kind):
    bare, full = outline(tiny_bases[kind]), load_model(tiny_bases[kind])
    for asked in ("smallest_clip", "compression", "default_sequence_length"):
        assert getattr(bare.family, asked)(bare.pipeline) == getattr(full.family, asked)(full.pipeline)
    assert bare.family == full.family
    parts = [part for part in bare.pipeline.components.values() if isinstance(part, torch.nn.Module)]
    assert all(parameter.is_meta for part in parts for parameter in part.parameters())


@pytest.mark.parametrize("kind", ["t2v", "experts"])
def test_no_weight_of_a_transformer_is_read_beside_an_encoder(tiny_bases, kind, tmp_path):
    folder = tmp_path / kind
    shutil.copytree(tiny_bases[kind], folder, ignore=shutil.ignore_patterns("diffusion_pytorch_model*"))
    shutil.copytree(tiny_bases[kind] / "vae", folder / "vae", dirs_exist_ok=True)
    assert outline(folder).pipeline.transformer.config["in_channels"] == 4
    with loaded_encoders(folder, "pixels") as model:
        assert not next(model.pipeline.vae.parameters()).is_meta
