"""`videojam inspect` tells what is true: counts equal those of loaded models, memory that of a real trainer."""

from __future__ import annotations

import json
import resource
import shutil
import time

import pytest
import torch
from safetensors.torch import load_file
from tiny_pipelines import write_holes, write_tiny_wan
from typer.testing import CliRunner

import tiny_families
from videojam.cli import app
from videojam.errors import VideoJamError
from videojam.joint.convert import convert
from videojam.joint.widen import widen_transformer
from videojam.models.describe import describe_model
from videojam.models.load import load_model
from videojam.models.memory import training_memory
from videojam.models.resolve import is_hub_id
from videojam.models.tensors import shapes_of_config
from videojam.training.config import LoraConfig, TrainConfig
from videojam.training.inspect_model import describe_lines, inspect_model
from videojam.training.trainable import build_state, mark_trainable

KINDS = ("t2v", "i2v", "per_token", "experts")
OTHER_FAMILIES = (
    "write_tiny_cogvideox",
    "write_tiny_ltx",
    "write_tiny_mochi",
    "write_tiny_hunyuan_video",
    "write_tiny_hunyuan_video15",
)
WAN_14B = {
    "_class_name": "WanTransformer3DModel",
    "num_attention_heads": 40,
    "attention_head_dim": 128,
    "ffn_dim": 13824,
    "num_layers": 40,
    "text_dim": 4096,
    "in_channels": 16,
    "out_channels": 16,
    "patch_size": [1, 2, 2],
}


def num_parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_counts_are_those_of_the_loaded_models(tiny_bases, tiny_joints, kind):
    base, joint = load_model(tiny_bases[kind]), load_model(tiny_joints[kind])
    of_base, of_joint = describe_model(tiny_bases[kind]), describe_model(tiny_joints[kind])
    assert (of_base.is_joint, of_joint.is_joint) == (False, True)
    assert of_base.pipeline_class == type(base.pipeline).__name__
    assert of_joint.record == joint.record
    for before, after in zip(of_base.transformers, of_joint.transformers, strict=True):
        module, wide = (getattr(model.pipeline, before.component) for model in (base, joint))
        assert before.num_parameters == num_parameters(module)
        assert after.num_parameters == before.num_joint_parameters == num_parameters(wide)
        assert before.num_added == after.num_added == num_parameters(wide) - num_parameters(module)
        assert before.num_channels == after.num_channels == 4
        assert before.changes == after.changes
        shapes = {name: list(tensor.shape) for name, tensor in module.state_dict().items()}
        assert {c.name: c.before for c in before.changes}.items() <= shapes.items()
        assert {c.name for c in before.changes} == {
            name for name, tensor in wide.state_dict().items() if list(tensor.shape) != shapes[name]
        }
    assert len(of_base.transformers) == (2 if kind == "experts" else 1)


@pytest.mark.parametrize("write", OTHER_FAMILIES)
def test_other_families_are_told_as_they_are_converted(tmp_path, write):
    base = getattr(tiny_families, write)(tmp_path / "base")
    joint = convert(base, tmp_path / "joint")
    before, after = (describe_model(folder).transformers[0] for folder in (base, joint))
    assert before.changes == after.changes
    assert after.num_parameters == before.num_joint_parameters == before.num_parameters + before.num_added
    wide = load_file(joint / "transformer" / "diffusion_pytorch_model.safetensors")
    assert {change.name: change.after for change in after.changes}.items() <= {
        name: list(tensor.shape) for name, tensor in wide.items()
    }.items()
    changed = [name for name, tensor in wide.items() if list(tensor.shape) != before_shapes(base)[name]]
    assert sorted(changed) == [change.name for change in before.changes]


@pytest.mark.parametrize("kind", KINDS)
def test_the_start_holds_the_encoders_of_text_or_those_of_pixels(tiny_bases, tiny_joints, kind):
    for folder in (tiny_bases[kind], tiny_joints[kind]):
        held = {"text": 0, "pixels": 0}
        for name, part in load_model(folder).pipeline.components.items():
            if isinstance(part, torch.nn.Module) and not name.startswith("transformer"):
                stage = "text" if name.startswith("text_encoder") else "pixels"
                held[stage] += sum(tensor.nbytes for tensor in part.parameters())  # all are stored in float32
        assert inspect_model(folder).start == max(held.values())
    assert inspect_model(tiny_bases[kind] / "transformer").start is None


def before_shapes(base):
    weights = load_file(base / "transformer" / "diffusion_pytorch_model.safetensors")
    return {name: list(tensor.shape) for name, tensor in weights.items()}


def test_a_bare_transformer_says_what_it_can(tiny_wan, tmp_path):
    folder = tiny_wan / "transformer"
    assert describe_model(folder).is_joint is None
    assert describe_model(folder).transformers[0].num_added > 0
    assert describe_model(convert(folder, tmp_path / "joint")).is_joint is True


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=3)], ids=["full", "lora"])
@pytest.mark.parametrize("kind", ["t2v", "i2v"])
def test_memory_is_what_the_trainer_holds(tiny_bases, tmp_path, kind, lora):
    model = load_model(tiny_bases[kind])
    transformer = widen_transformer(model.pipeline.transformer)
    mark_trainable(transformer, model.family, lora)
    fields = {"base": str(tiny_bases[kind]), "out": tmp_path, "num_steps": 1, "lora": lora}
    config = TrainConfig(**fields, data={"source": {"kind": "world", "num_clips": 2}})
    state = build_state(config, transformer)
    for parameter in state.parameters.values():
        parameter.grad = torch.zeros_like(parameter)
    (optimizer,) = state.optimizers
    optimizer.step()
    moments = [m for s in optimizer.state.values() for m in s.values() if m.ndim]
    held = training_memory(describe_model(tiny_bases[kind]).transformers[0], lora)
    assert held.num_trained == sum(p.numel() for p in state.parameters.values())
    assert held.weights == sum(p.nbytes for p in transformer.parameters())
    assert held.gradients == sum(p.grad.nbytes for p in state.parameters.values())
    assert held.adam == sum(moment.nbytes for moment in moments)
    assert held.ema == sum(average.nbytes for average in state.ema.values())
    assert held.total == held.weights + held.gradients + held.adam + held.ema + held.bf16_copies


def test_the_config_alone_gives_the_same_shapes_as_the_files(tiny_wan):
    config = json.loads((tiny_wan / "transformer" / "config.json").read_text())
    from_files = {
        name: list(t.shape) for name, t in load_model(tiny_wan).pipeline.transformer.state_dict().items()
    }
    assert shapes_of_config(config) == from_files


def test_a_14b_folder_takes_a_moment_and_no_memory(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(WAN_14B))
    write_holes(tmp_path, shapes_of_config(WAN_14B), 6)
    describe_model(tmp_path)  # imports
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    found = inspect_model(tmp_path)
    assert time.process_time() - start < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB
    transformer = found.model.transformers[0]
    assert transformer.num_parameters == pytest.approx(14.3e9, rel=0.01)  # as published for Wan 2.1 14B
    assert transformer.num_added == (5120 * 16 + 5120 * 16 + 16) * 4  # columns and rows of 4 positions
    assert "in GiB" in "\n".join(describe_lines(found))
    assert found.memory[0].total == 22 * transformer.num_joint_parameters


def test_the_verb_prints_lines_or_json(tiny_wan_experts, tiny_joints):
    runner = CliRunner()
    shown = runner.invoke(app, ["inspect", str(tiny_wan_experts)])
    assert shown.exit_code == 0
    for word in (
        "a base model",
        "transformer_2",
        "WanTransformer3DModel",
        "patch_embedding.weight",
        "in MiB",
    ):
        assert word in shown.output
    assert "24×4×1×2×2 → 24×8×1×2×2" in shown.output
    told = json.loads(runner.invoke(app, ["inspect", str(tiny_joints["t2v"]), "--json"]).stdout)
    assert told["model"]["is_joint"] is True
    assert told["model"]["record"]["motion"]["style"] == "value"
    assert told["memory"][1]["method"] == "lora, rank 16"
    assert "motion: flow by raft" in "\n".join(describe_lines(inspect_model(tiny_joints["t2v"])))


def refused(folder) -> VideoJamError:
    with pytest.raises(VideoJamError) as caught:
        inspect_model(folder)
    return caught.value


def test_what_converting_refuses_is_refused(tiny_wan, tmp_path):
    base = shutil.copytree(tiny_wan, tmp_path / "base")
    config = base / "transformer" / "config.json"
    text = config.read_text()
    config.write_text(json.dumps(json.loads(text) | {"quantization_config": {"quant_method": "gguf"}}))
    assert "quantised" in refused(base).found
    config.write_text(json.dumps(json.loads(text) | {"_class_name": "FluxTransformer2DModel"}))
    error = refused(base / "transformer")
    assert error.found == "FluxTransformer2DModel"
    assert "WanTransformer3DModel" in error.expected
    config.write_text(text)
    index = base / "model_index.json"
    parts = json.loads(index.read_text())
    index.write_text(json.dumps(parts | {"transformer": ["diffusers", "SD3Transformer2DModel"]}))
    assert refused(base).found == "SD3Transformer2DModel"
    assert refused(tmp_path / "none").found == "no such folder"


def test_one_converted_expert_of_two(tmp_path):
    base = write_tiny_wan(tmp_path / "base", experts=True)
    joint = convert(base, tmp_path / "joint")
    shutil.rmtree(base / "transformer_2")
    shutil.copytree(joint / "transformer_2", base / "transformer_2")
    assert refused(base).found == "transformer: base, transformer_2: joint"


def test_hub_ids_are_told_from_paths(tiny_wan, monkeypatch, tmp_path):
    assert is_hub_id("Wan-AI/Wan2.1-T2V-1.3B-Diffusers")
    for name in (tiny_wan, "./a/b", "tiny:base", "/a", "a", "a/b/c"):
        assert not is_hub_id(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert not is_hub_id("a/b")


def test_of_a_hub_id_configs_alone_are_fetched(tiny_wan, monkeypatch):
    def fetch(name, revision, allow_patterns, ignore_patterns):
        asked.append((name, revision, allow_patterns))
        return str(only_configs)

    asked, only_configs = [], tiny_wan.parent / "configs"
    keep = shutil.ignore_patterns("*.safetensors")
    shutil.copytree(tiny_wan, only_configs, ignore=keep)
    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    facts = describe_model("owner/name", "v1")
    assert asked == [("owner/name", "v1", ["*.json"])]
    there = describe_model(tiny_wan)
    assert facts.transformers[0].changes == there.transformers[0].changes
    assert facts.transformers[0].num_parameters == there.transformers[0].num_parameters
