"""`torchrun` with two processes on the CPU: the same run as one process's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from accelerate.utils import DistributedType
from safetensors.torch import load_file
from until_export import train_until_export

from videojam.errors import VideoJamError
from videojam.training.batches import micro_batches_of
from videojam.training.config import ParallelConfig, TrainConfig
from videojam.training.processes import check_processes, start_processes
from videojam.training.run import train


def lines(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def weights(out):
    return load_file(out / "model" / "transformer" / "diffusion_pytorch_model.safetensors")


def losses(out):
    return [line for line in lines(out) if "loss" in line]


KINDS = {
    "ddp": {"parallel": {"kind": "ddp"}},
    "fsdp": {"parallel": {"kind": "fsdp"}, "precision": "fp32"},
    "muon": {"parallel": {"kind": "fsdp", "cpu_offload": True}, "lora": {"rank": 2}},
}


@pytest.fixture(scope="module")
def runs(ranks, warm_python, tiny_wan, tmp_path_factory):
    """Folder of runs of three steps of five clips, which two processes can't share evenly, by one and two processes."""
    folder = tmp_path_factory.mktemp("processes")
    common = {
        "base": str(tiny_wan),
        "data": {
            "source": {
                "kind": "world",
                "num_clips": 8,
                "world": {"num_frames": 9, "pixel_px": 4},
            },
            "cache": str(folder / "cache"),
            "num_heldout": 3,
            "max_sequence_length": 16,
        },
        "motion": {"estimator": "exact", "scale": 0.06},
        "num_steps": 3,
        "batch_size": 5,
        "accumulation": 5,
        "precision": "fp32",
        "save_dtype": "fp32",
        "log_every": 1,
        "checkpoint_every": 2,
        "validate_t": [0.3, 0.7],
    }

    def recipe(out, kind, **more):
        name = "muon" if kind == "muon" else "adamw"
        content = common | KINDS[kind] | {"optimizer": {"learning_rate": 1e-3, "name": name}}
        return content | {"out": str(folder / out)} | more

    def file(content):
        path = folder / f"{Path(content['out']).name}-{content['num_steps']}.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    for content in (recipe("one-ddp", "ddp"), recipe("one-muon", "muon", parallel={})):
        train(TrainConfig.model_validate(content))
    train_until_export(TrainConfig.model_validate(recipe("from-one", "fsdp", num_steps=2)))
    clips = {"samples": {"every": 3, "prompts": ["a ball"], "settings": {"num_steps": 1}}}
    of_two = [recipe(f"two-{kind}", kind, **(clips if kind != "muon" else {})) for kind in KINDS]
    of_two += [recipe("from-one", "fsdp"), recipe("from-two", "fsdp", num_steps=2)]
    worker = Path(__file__).with_name("ranks_worker.py").read_text()
    environments = ranks.environments()
    ended = warm_python.run(worker, *(file(content) for content in of_two), environments=environments)
    for rank, done in enumerate(ended):
        assert done.returncode == 0, done.output[-3000:]
        (folder / f"rank{rank}.txt").write_text(done.output)
    train_until_export(TrainConfig.model_validate(recipe("from-two", "fsdp")))
    return folder


@pytest.mark.parametrize(
    ("of_two", "of_one"), [("two-ddp", "one-ddp"), ("two-fsdp", "one-ddp"), ("two-muon", "one-muon")]
)
def test_two_processes_train_what_one_does(runs, of_two, of_one):
    """The gradient is the mean over both shares, each clip has the noise and time of its place in the batch."""
    one, two = runs / of_one, runs / of_two
    assert json.loads((two / "run.json").read_text())["num_processes"] == 2
    assert [line["step"] for line in losses(two)] == [1, 2, 3]
    for mine, other in zip(losses(one), losses(two), strict=True):
        for key in ("loss", "appearance", "motion", "grad_norm"):
            assert other[key] == pytest.approx(mine[key], rel=1e-3)
    heldout = [[line for line in lines(out) if "loss" not in line] for out in (one, two)]
    for mine, other in zip(*heldout, strict=True):
        assert other == pytest.approx(mine, rel=1e-3)
    before, after = weights(one), weights(two)
    assert before.keys() == after.keys()
    differences = torch.cat([(after[name] - tensor).flatten() for name, tensor in before.items()])
    # Adam's first steps are 1e-3, of either sign where a gradient is 0; Muon's products are in bf16
    assert differences.abs().mean() < (1e-4 if of_two == "two-muon" else 1e-5)


def test_every_process_hears_what_verifying_the_model_found(runs):
    said = [(runs / f"rank{rank}.txt").read_text().splitlines() for rank in range(2)]
    first, second = (
        [json.loads(line.removeprefix("verified ")) for line in lines if line.startswith("verified ")]
        for lines in said
    )
    assert first == second
    assert len(first) == 5
    assert all(report["repeats"] and report["stored"] in ("equal", "close") for report in first)


def test_processes_sample_validation_clips_together_or_wait_for_the_first(runs):
    """With FSDP2 each call of the model is one of all processes; the base's clip is the same."""
    latents = []
    for out in (runs / "two-ddp", runs / "two-fsdp"):
        assert len(list((out / "samples" / "step_00000003").glob("*.mp4"))) == 1
        (base,) = (out / "samples").glob("base-*.safetensors")
        latents.append(load_file(base)["0"])
    assert torch.allclose(*latents, atol=1e-4)


@pytest.mark.parametrize(("name", "first"), [("from-one", 1), ("from-two", 2)])
def test_a_run_goes_on_with_another_number_of_processes(runs, name, first):
    out = runs / name
    assert len(list((out / "checkpoints" / "step_00000002").glob("*.safetensors"))) == first
    assert len(list((out / "checkpoints" / "step_00000003").glob("*.safetensors"))) == 3 - first
    for mine, other in zip(losses(runs / "one-ddp"), losses(out), strict=True):
        assert other["loss"] == pytest.approx(mine["loss"], rel=1e-3)
        assert other["grad_norm"] == pytest.approx(mine["grad_norm"], rel=1e-3)


@pytest.mark.slow
def test_torchrun_starts_the_verb(runs, ranks, tmp_path):
    content = yaml.safe_load((runs / "two-fsdp-3.yaml").read_text()) | {"out": str(tmp_path / "run")}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    port = ["--master-addr", "127.0.0.1", "--master-port", str(ranks.free_port())]
    verb = [str(Path(sys.executable).parent / "videojam"), "train", str(tmp_path / "recipe.yaml")]
    done = subprocess.run(
        [*launch, *port, *verb],
        env=ranks.environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == str(tmp_path / "run" / "model")


@pytest.mark.parametrize(
    ("num_rows", "accumulation", "num_ranks"), [(5, 5, 2), (7, 2, 3), (4, 1, 4), (2, 2, 4), (6, 3, 1)]
)
def test_every_process_takes_as_many_parts_and_every_row_counts_once(num_rows, accumulation, num_ranks):
    parts = [list(micro_batches_of(num_rows, accumulation, rank, num_ranks)) for rank in range(num_ranks)]
    assert len({len(own) for own in parts}) == 1
    assert sorted(row for own in parts for part in own if part.counts for row in part.rows) == list(
        range(num_rows)
    )
    assert all([part.is_last for part in own] == [False] * (len(own) - 1) + [True] for own in parts)


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


def test_a_batch_with_fewer_clips_than_processes_is_refused(recipe):
    config = TrainConfig.model_validate({**recipe, "batch_size": 3})
    check_processes(config, 1, DistributedType.NO)
    check_processes(config, 2, DistributedType.MULTI_CPU)
    with pytest.raises(VideoJamError, match="batch_size of at least 4"):
        check_processes(config, 4, DistributedType.MULTI_CPU)


def test_what_accelerate_shards_otherwise_is_refused_with_what_works(recipe):
    config = TrainConfig.model_validate({**recipe, "batch_size": 4})
    with pytest.raises(VideoJamError, match=r"parallel\.kind: fsdp"):
        check_processes(config, 2, DistributedType.FSDP)
    check_processes(
        config.model_copy(update={"parallel": ParallelConfig(kind="fsdp")}), 2, DistributedType.FSDP
    )
    with pytest.raises(VideoJamError, match="FSDP2") as caught:
        check_processes(config, 2, DistributedType.DEEPSPEED)
    assert "torchrun" in caught.value.fix
