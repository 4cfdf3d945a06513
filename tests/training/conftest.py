from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

WORKER = Path(__file__).with_name("ranks_worker.py")


class Ranks:
    """Starts the ranks of runs on this machine, on the CPU."""

    environment: ClassVar = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "CUDA_VISIBLE_DEVICES": "",
    }

    @staticmethod
    def free_port():
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            return one.getsockname()[1]

    def __call__(self, files, folder, num=2):
        return [
            subprocess.Popen(
                [sys.executable, str(WORKER), *map(str, files)],
                env=self.environment | environment,
                stdout=(folder / f"rank{rank}.txt").open("w"),
                stderr=subprocess.STDOUT,
            )
            for rank, environment in enumerate(self.environments(num))
        ]

    def environments(self, num=2):
        """What differs between the environments of processes that train together, and this one's."""
        together = {
            "WORLD_SIZE": str(num),
            "LOCAL_WORLD_SIZE": str(num),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(self.free_port()),
            "GLOO_SOCKET_IFNAME": "lo",
            "CUDA_VISIBLE_DEVICES": "",
        }
        return [together | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(num)]


@pytest.fixture(scope="session")
def ranks():
    return Ranks()


@pytest.fixture(scope="session")
def short_recipe(tiny_wan):
    """Gives, for a cache, a recipe of four steps of two of five world clips, without `out`."""

    def recipe(cache):
        return {
            "base": str(tiny_wan),
            "data": {
                "source": {
                    "kind": "world",
                    "num_clips": 5,
                    "world": {"num_frames": 9, "pixel_px": 4},
                },
                "cache": str(cache),
                "max_sequence_length": 16,
            },
            "motion": {"estimator": "exact", "scale": 0.06},
            "num_steps": 4,
            "batch_size": 2,
            "precision": "fp32",
            "log_every": 1,
            "checkpoint_every": 2,
            "validate_t": [0.5],
        }

    return recipe


@pytest.fixture(scope="session")
def recipe_in(tiny_wan):
    """Gives, for a folder, a complete recipe on the tiny random base and eight world clips, as a plain dictionary."""
    return lambda folder: recipe_of(tiny_wan, folder / "run", folder.parent / "cache")


@pytest.fixture
def recipe(recipe_in, tmp_path):
    """The complete recipe of a test's own folder."""
    return recipe_in(tmp_path)


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
