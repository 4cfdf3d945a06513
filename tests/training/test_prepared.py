"""Training on a prepared folder: batches of one size, drawn latents, and a stopped run that goes on exactly."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from until_export import train_until_export

from videojam.data.prepare.folder import prepare_folder
from videojam.data.prepare.request import PrepareRequest
from videojam.data.settings import ClipSettings, PrepareSettings, parse_bucket
from videojam.motion.code import MotionCode
from videojam.motion.video import write_video
from videojam.training.config import TrainConfig
from videojam.training.run import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_wan):
    """Five wide clips and four tall ones of a moving texture, prepared in two sizes."""
    place = tmp_path_factory.mktemp("prepared")
    generator = torch.Generator().manual_seed(0)
    for i in range(9):
        size = (32, 64) if i < 5 else (64, 32)
        texture = (torch.rand(3, *size, generator=generator) * 255).byte()
        frames = torch.stack([texture.roll(step * (1 + i % 3), 2) for step in range(5)])
        write_video(place / "clips" / f"{i}.mp4", frames, 8)
        (place / "clips" / f"{i}.txt").write_text(f"clip {i}")
    settings = PrepareSettings(
        clips=ClipSettings(buckets=tuple(map(parse_bucket, ("5x32x64", "5x64x32"))), fps=8),
        motion=MotionCode(estimator="dis", scale=0.1),
        max_sequence_length=16,
        clips_per_shard=3,
    )
    prepare_folder(
        PrepareRequest(place / "clips", place / "out", str(tiny_wan), settings), say=lambda line: None
    )
    return place / "out"


@pytest.fixture
def config(recipe, folder, tmp_path):
    def make(name: str, **changes) -> TrainConfig:
        data = {
            "source": {"kind": "prepared", "path": str(folder)},
            "num_heldout": 1,
            "max_sequence_length": 16,
            "draw": "posterior",
            **changes.pop("data", {}),
        }
        own = {key: value for key, value in recipe.items() if key != "motion"}  # the folder's is taken
        return TrainConfig(**own | {"data": data, "out": str(tmp_path / name), "validate_every": 9} | changes)

    return make


def weights(config: TrainConfig) -> dict[str, torch.Tensor]:
    return load_file(next((config.out / "model" / "transformer").glob("*.safetensors")))


def test_a_run_on_a_prepared_folder_goes_on_exactly_and_threads_change_nothing(config):
    whole = config("whole", data={"workers": 2})
    assert train(whole).ok
    parts = config("parts", data={"workers": 0}, num_steps=2)
    train_until_export(parts)
    train(config("parts", data={"workers": 3}))
    mine, theirs = weights(whole), weights(config("parts"))
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
