from __future__ import annotations

import pytest


@pytest.fixture
def recipe(tiny_wan, tmp_path):
    """A complete recipe on the tiny random base and eight world clips, as a plain dictionary."""
    return {
        "base": str(tiny_wan),
        "out": str(tmp_path / "run"),
        "data": {
            "source": {
                "kind": "world",
                "num_clips": 8,
                "world": {"num_frames": 9, "height": 32, "width": 32, "kinds": ["wheel", "gait"]},
            },
            "cache": str(tmp_path.parent / "cache"),
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
