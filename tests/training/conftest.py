from __future__ import annotations

import pytest


@pytest.fixture
def recipe(tiny_wan, tmp_path):
    """A complete recipe on the tiny random base and eight world clips, as a plain dictionary."""
    return recipe_of(tiny_wan, tmp_path / "run", tmp_path.parent / "cache")


@pytest.fixture(scope="session")
def lora_run(tiny_wan, tmp_path_factory):
    """The folder of a finished LoRA run of four steps, to read and not to change."""
    from videojam.training.config import TrainConfig
    from videojam.training.run import train

    out = tmp_path_factory.mktemp("lora") / "run"
    recipe = recipe_of(tiny_wan, out, out.parent / "cache")
    recipe |= {"lora": {"rank": 2, "alpha": 4}, "method": "videojam"}
    train(TrainConfig.model_validate(recipe))
    return out


def recipe_of(base, out, cache):
    return {
        "base": str(base),
        "out": str(out),
        "data": {
            "source": {
                "kind": "world",
                "num_clips": 8,
                "world": {"num_frames": 9, "pixel_px": 4},
            },
            "cache": str(cache),
            "num_heldout": 2,
            "max_sequence_length": 16,
        },
        "motion": {"estimator": "exact", "scale": 0.06},
        "optimizer": {"learning_rate": 1e-3, "warmup_steps": 2},
        "num_steps": 4,
        "batch_size": 3,
        "precision": "fp32",
        "log_every": 1,
        "checkpoint_every": 2,
        "validate_every": 4,
        "validate_t": [0.3, 0.7],
    }
