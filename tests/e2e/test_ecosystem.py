"""What users do with a diffusers model holds for a converted one, under Inner-Guidance (docs/ecosystem.md)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from diffusers import FirstBlockCacheConfig, WanPipeline
from peft import LoraConfig
from safetensors.torch import load_file
from tiny_pipelines import write_tiny_wan

from videojam.guidance.config import Guidance
from videojam.guidance.window import Window
from videojam.joint.convert import convert
from videojam.joint.latents import split
from videojam.models.load import load_model
from videojam.sampling.sample import sample

PROMPTS = ["a red ball moves left"]
INNER = Guidance(w_text=2.0, w_motion=1.5, window=Window(end=1.0))
CFG = Guidance(mode="cfg", w_text=2.0)
SIZE = {"num_frames": 9, "height": 32, "width": 32, "num_steps": 3, "max_sequence_length": 8}
WORKER = Path(__file__).with_name("fsdp_worker.py")


def latents(model, guidance=INNER, **changes):
    return sample(model, PROMPTS, seeds=5, guidance=guidance, decode=False, **SIZE | changes).latents


@pytest.fixture
def fresh(tiny_joints):
    return load_model(tiny_joints["t2v"])


@pytest.fixture
def base(tiny_bases):
    return load_model(tiny_bases["t2v"])


@pytest.fixture
def lora_folder(base, tmp_path):
    """An attention LoRA of the base, as users have them."""
    transformer = base.pipeline.transformer
    transformer.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    layers = {name: p.detach() for name, p in transformer.named_parameters() if "lora_" in name}
    layers = {name.replace(".default", ""): tensor for name, tensor in layers.items()}
    WanPipeline.save_lora_weights(tmp_path / "lora", transformer_lora_layers=layers)
    transformer.delete_adapters("default")
    return tmp_path / "lora"


def test_a_lora_of_the_base_loads_fuses_and_unloads(fresh, base, lora_folder):
    plain = latents(fresh)
    for model in (fresh, base):
        model.pipeline.load_lora_weights(lora_folder)
    loaded = latents(fresh)
    assert torch.equal(split(loaded)[0], latents(base, CFG))  # identity 2, adapters included
    assert (loaded - plain).abs().max() > 1e-2
    fresh.pipeline.fuse_lora()
    torch.testing.assert_close(latents(fresh), loaded, rtol=0, atol=1e-4)
    fresh.pipeline.unfuse_lora()
    fresh.pipeline.unload_lora_weights()
    torch.testing.assert_close(latents(fresh), plain, rtol=0, atol=1e-4)


def test_regional_compilation_without_a_graph_break(trained_joint):
    plain = latents(trained_joint)
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    # the tracer without code generation: the same graphs as inductor's, in seconds
    trained_joint.pipeline.transformer.compile_repeated_blocks(backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(latents(trained_joint), plain, rtol=0, atol=1e-4)
    assert counters["stats"]["unique_graphs"] == 1  # both blocks and all branches share it
    assert not counters["graph_break"]


@pytest.mark.slow
def test_regional_compilation_with_inductor(trained_joint):
    plain = latents(trained_joint)
    torch._dynamo.reset()
    trained_joint.pipeline.transformer.compile_repeated_blocks(fullgraph=True)
    torch.testing.assert_close(latents(trained_joint), plain, rtol=0, atol=1e-4)


@pytest.mark.parametrize("to_disk", [False, True])
@pytest.mark.parametrize("kind", ["block_level", "leaf_level"])
def test_group_offload(trained_joint, tmp_path, kind, to_disk):
    plain = latents(trained_joint)
    blocks = {"num_blocks_per_group": 1} if kind == "block_level" else {}
    place = {"offload_to_disk_path": str(tmp_path)} if to_disk else {}
    transformer = trained_joint.pipeline.transformer
    cpu = torch.device("cpu")
    transformer.enable_group_offload(
        onload_device=cpu, offload_device=cpu, offload_type=kind, **blocks, **place
    )
    # what is read from disk lies in memory otherwise aligned, where other kernels round otherwise
    torch.testing.assert_close(latents(trained_joint), plain, rtol=0, atol=1e-4 if to_disk else 0)
    if to_disk:
        assert list(tmp_path.glob("*.safetensors"))


def test_fp8_storage(fresh, base):
    plain = latents(fresh)
    for model in (fresh, base):
        model.pipeline.transformer.enable_layerwise_casting(torch.float8_e4m3fn, torch.float32)
    transformer = fresh.pipeline.transformer
    assert transformer.blocks[0].attn1.to_q.weight.dtype == torch.float8_e4m3fn
    for projection in (transformer.patch_embedding, transformer.proj_out):
        assert projection.weight.dtype == torch.float32  # diffusers keeps both, so the motion half too
    stored = latents(fresh)
    assert torch.equal(split(stored)[0], latents(base, CFG))
    assert 0 < (stored - plain).abs().mean() < 0.1 * plain.abs().mean()


def test_first_block_cache_has_a_context_for_each_branch(trained_joint):
    plain, first = latents(trained_joint), latents(trained_joint, num_steps=1)
    transformer = trained_joint.pipeline.transformer
    transformer.enable_cache(FirstBlockCacheConfig(threshold=0.0))
    assert torch.equal(latents(trained_joint), plain)  # nothing is similar enough
    transformer.disable_cache()
    transformer.enable_cache(FirstBlockCacheConfig(threshold=1e9))
    # everything is similar enough; in one step, only a branch that read another's cache would differ
    assert torch.equal(latents(trained_joint, num_steps=1), first)
    calls = []
    handle = transformer.blocks[1].attn1.register_forward_hook(lambda *arguments: calls.append(1))
    assert not torch.equal(latents(trained_joint), plain)
    handle.remove()
    assert len(calls) == 3  # the rest of the blocks ran in the first of three steps, once for each branch


@pytest.mark.parametrize("num_ranks", [1, 2])
def test_fsdp2_trains_saves_and_samples_as_one_process_does(tiny_joints, tmp_path, warm_python, num_ranks):
    shared = {
        "WORLD_SIZE": str(num_ranks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(29500 + os.getpid() % 1000 + num_ranks),
        "GLOO_SOCKET_IFNAME": "lo",
    }
    ranks = [shared | {"RANK": str(rank)} for rank in range(num_ranks)]
    for done in warm_python.run(WORKER.read_text(), tiny_joints["t2v"], tmp_path, environments=ranks):
        assert done.returncode == 0, done.output[-3000:]
    sharded, single = load_file(tmp_path / "sharded.safetensors"), load_file(tmp_path / "single.safetensors")
    assert sharded.keys() == single.keys()
    assert "latents" in single
    before = load_file(tiny_joints["t2v"] / "transformer" / "diffusion_pytorch_model.safetensors")
    assert not torch.equal(single["proj_out.weight"], before["proj_out.weight"])
    for name, tensor in single.items():
        atol = 1e-3 if name == "latents" else 2e-5  # guidance of 4.5 and three steps enlarge the difference
        torch.testing.assert_close(sharded[name], tensor, rtol=0, atol=atol, msg=name)


def test_sharded_save_and_conversion_of_shards(trained_joint, tmp_path):
    plain = latents(trained_joint)
    trained_joint.pipeline.save_pretrained(tmp_path / "sharded", max_shard_size="20KB")
    shards = sorted((tmp_path / "sharded" / "transformer").glob("*-of-*.safetensors"))
    assert len(shards) > 2
    pipe = WanPipeline.from_pretrained(tmp_path / "sharded")
    weights = trained_joint.pipeline.transformer.state_dict()
    for name, tensor in pipe.transformer.state_dict().items():
        assert torch.equal(tensor, weights[name]), name
    base = write_tiny_wan(tmp_path / "base", max_shard_size="20KB")
    whole = load_model(convert(base, tmp_path / "joint"))
    assert latents(whole).shape == plain.shape


def test_bf16_load_keeps_what_wan_keeps_in_fp32(tiny_bases, tiny_joints):
    fresh = load_model(tiny_joints["t2v"], torch_dtype=torch.bfloat16)
    base = load_model(tiny_bases["t2v"], torch_dtype=torch.bfloat16)
    transformer = fresh.pipeline.transformer
    assert transformer.patch_embedding.weight.dtype == torch.bfloat16
    assert transformer.scale_shift_table.dtype == torch.float32
    drawn = latents(fresh)
    assert torch.equal(split(drawn)[0], latents(base, CFG))
    in_fp32 = latents(load_model(tiny_joints["t2v"]))
    assert (drawn - in_fp32).abs().mean() < 0.05 * in_fp32.abs().mean()
