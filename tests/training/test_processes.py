"""`torchrun` with two processes on the CPU: the same run as one process's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from accelerate.utils import DistributedType
from safetensors.torch import load_file

from videojam.errors import VideoJamError
from videojam.training.config import TrainConfig
from videojam.training.processes import check_processes, start_processes
from videojam.training.run import train


def lines(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def weights(out):
    return load_file(out / "model" / "transformer" / "diffusion_pytorch_model.safetensors")


def test_two_processes_train_what_one_does(recipe, tmp_path):
    """The gradient is the mean over both shares, each clip has the noise and time of its place in the batch."""
    recipe = {**recipe, "batch_size": 4, "accumulation": 2, "num_steps": 3, "save_dtype": "fp32"}
    recipe["data"] = {**recipe["data"], "cache": str(tmp_path / "cache")}
    two = {**recipe, "out": str(tmp_path / "two")}
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(two))
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    port = ["--master-addr", "127.0.0.1", "--master-port", str(29700 + os.getpid() % 200)]
    verb = [str(Path(sys.executable).parent / "videojam"), "train", str(tmp_path / "two.yaml")]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(
        [*launch, *port, *verb], env=environment, capture_output=True, text=True, timeout=1200, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((tmp_path / "two" / "run.json").read_text())["num_processes"] == 2

    config = TrainConfig.model_validate({**recipe, "out": str(tmp_path / "one")})
    assert train(config).ok
    both = [[line for line in lines(tmp_path / name) if "loss" in line] for name in ("one", "two")]
    assert [line["step"] for line in both[1]] == [1, 2, 3]
    for one, other in zip(*both, strict=True):
        for key in ("loss", "appearance", "motion", "grad_norm"):
            assert other[key] == pytest.approx(one[key], rel=1e-3)
    before, after = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert before.keys() == after.keys()
    differences = torch.cat([(after[name] - tensor).flatten() for name, tensor in before.items()])
    assert (
        differences.abs().mean() < 1e-5
    )  # Adam's first steps are 1e-3, of either sign where a gradient is 0


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({"WORLD_SIZE": "2"}, "1"),
        ({"WORLD_SIZE": "2", "LOCAL_RANK": "0"}, "1"),
        ({"WORLD_SIZE": "two"}, "'two'"),
        ({"WORLD_SIZE": "0"}, "'0'"),
        ({"WORLD_SIZE": "-1"}, "'-1'"),
    ],
    ids=str,
)
def test_a_world_size_without_its_processes_is_refused(recipe, monkeypatch, environment, found):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    config = TrainConfig.model_validate(recipe)
    with pytest.raises(VideoJamError, match="WORLD_SIZE") as caught:
        train(config)
    assert caught.value.found == found
    assert not config.out.exists()


def test_more_processes_than_gpus_are_refused(recipe, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(VideoJamError, match="at most 1 processes"):
        start_processes(TrainConfig.model_validate(recipe))


def test_a_batch_that_cannot_be_shared_is_refused(recipe):
    config = TrainConfig.model_validate({**recipe, "batch_size": 3})
    check_processes(config, 1, DistributedType.NO)
    check_processes(config, 3, DistributedType.MULTI_CPU)
    with pytest.raises(VideoJamError, match="multiple of the 2 processes"):
        check_processes(config, 2, DistributedType.MULTI_CPU)


def test_sharding_is_refused_with_what_works(recipe):
    config = TrainConfig.model_validate({**recipe, "batch_size": 4})
    with pytest.raises(VideoJamError, match="FSDP") as caught:
        check_processes(config, 2, DistributedType.FSDP)
    assert "own loop" in caught.value.fix
