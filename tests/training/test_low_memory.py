"""Smaller weights, moments and residence of blocks: what they change in a run, and what they don't."""

from __future__ import annotations

import importlib.util
import json
import shutil

import pytest
import torch
from pydantic import ValidationError

from videojam.errors import VideoJamError
from videojam.joint.widen import widen_transformer
from videojam.models.load import load_model
from videojam.training import base_weights
from videojam.training.config import LoraConfig, OptimizerConfig, TrainConfig
from videojam.training.offload import blocks_of, offload_blocks, place
from videojam.training.optimizers import build_optimizers
from videojam.training.run import train
from videojam.training.stochastic import StochasticAdamW, rounded_stochastically
from videojam.training.trainable import mark_trainable, set_up_steps

HAS_TORCHAO = importlib.util.find_spec("torchao") is not None
HAS_BNB = importlib.util.find_spec("bitsandbytes") is not None
QUICK = {"num_steps": 2, "batch_size": 1, "validate_every": 9, "validate_t": [0.5], "save_dtype": "fp32"}


@pytest.fixture(scope="module")
def wan_bf16(tiny_wan, tmp_path_factory):
    """The tiny base as it is published: in bf16."""
    folder = tmp_path_factory.mktemp("bf16") / "wan"
    shutil.copytree(tiny_wan, folder)
    load_model(tiny_wan).pipeline.transformer.bfloat16().save_pretrained(folder / "transformer")
    return folder


def lines(config):
    log = [json.loads(line) for line in (config.out / "log.jsonl").read_text().splitlines()]
    return [(line["loss"], line["grad_norm"]) for line in log if "loss" in line]


def test_a_bf16_base_trains_as_its_float32_copy_and_exports_the_same_model(recipe, wan_bf16, tmp_path):
    trained = {}
    for kind in ("fp32", "bf16"):
        lora = {"rank": 2, "base_weights": kind}
        changes = {"base": str(wan_bf16), "out": str(tmp_path / kind), "lora": lora, "precision": "bf16"}
        config = TrainConfig.model_validate(recipe | QUICK | changes)
        assert train(config).ok
        trained[kind] = (lines(config), load_model(config.out / "model").pipeline.transformer.state_dict())
    assert trained["fp32"][0] == trained["bf16"][0]
    for name, tensor in trained["fp32"][1].items():
        assert torch.equal(tensor, trained["bf16"][1][name]), name


def test_the_matrices_of_a_bf16_base_are_bf16_and_all_else_is_float32(recipe, tiny_wan):
    from videojam.models.folder import open_folder
    from videojam.training.trainable import load_trained

    config = TrainConfig.model_validate(recipe | {"lora": {"rank": 2}, "precision": "bf16"})
    transformer = load_trained(config, open_folder(tiny_wan), "transformer")
    family = load_model(tiny_wan).family
    mark_trainable(transformer, family, config.lora, 0)
    small = {name for name, p in transformer.named_parameters() if p.dtype == torch.bfloat16}
    assert "blocks.0.attn1.to_q.base_layer.weight" in small
    assert "blocks.1.ffn.net.2.weight" in small
    assert not any("lora" in name or "norm" in name or name.endswith("bias") for name in small)
    assert not any(family.is_of_projection(name) for name in small)
    assert all(p.dtype == torch.float32 for p in transformer.parameters() if p.requires_grad)


@pytest.mark.skipif(not HAS_TORCHAO, reason="torchao is not installed")
@pytest.mark.parametrize(("kind", "largest"), [("int8", 0.02), ("fp8", 0.1)])
def test_an_8_bit_base_trains_nearly_alike_and_exports_the_unrounded_base(
    recipe, wan_bf16, tmp_path, kind, largest
):
    losses = {}
    for stored in ("bf16", kind):
        lora = {"rank": 2, "base_weights": stored}
        changes = {"base": str(wan_bf16), "out": str(tmp_path / stored), "lora": lora, "precision": "bf16"}
        config = TrainConfig.model_validate(recipe | QUICK | changes)
        assert train(config).ok
        losses[stored] = lines(config)
    for (loss, norm), (other, other_norm) in zip(losses["bf16"], losses[kind], strict=True):
        assert other == pytest.approx(loss, rel=largest)
        assert other_norm == pytest.approx(norm, rel=10 * largest)
    exported = load_model(config.out / "model").pipeline.transformer.state_dict()
    base = load_model(wan_bf16).pipeline.transformer.state_dict()
    assert torch.equal(exported["blocks.0.ffn.net.2.weight"], base["blocks.0.ffn.net.2.weight"])


@pytest.mark.skipif(HAS_TORCHAO, reason="torchao is installed")
@pytest.mark.parametrize("kind", ["fp8", "int8"])
def test_a_missing_torchao_is_said_with_what_to_install(kind):
    with pytest.raises(VideoJamError, match=r"videojam\[8bit\]"):
        base_weights.quantise(torch.nn.Linear(2, 2), kind)


@pytest.mark.skipif(HAS_BNB, reason="bitsandbytes is installed")
def test_a_missing_bitsandbytes_is_said_with_what_to_install():
    with pytest.raises(VideoJamError, match=r"videojam\[8bit\]"):
        build_optimizers(OptimizerConfig(name="adamw_8bit"), {"w": torch.nn.Parameter(torch.ones(2))})


@pytest.mark.skipif(not HAS_BNB, reason="bitsandbytes is not installed")
def test_8_bit_moments_follow_adamw_and_are_restored_by_a_state_dict():
    def start():
        return torch.nn.Parameter(torch.randn(64, 128, generator=torch.Generator().manual_seed(0)))

    def steps(optimizer, parameter, first, last):
        for i in range(first, last):
            parameter.grad = torch.randn(64, 128, generator=torch.Generator().manual_seed(i))
            optimizer.step()

    config = OptimizerConfig(name="adamw_8bit", learning_rate=1e-3)
    whole, exact = start(), start()
    (small,), (adamw,) = (
        build_optimizers(config, {"w": whole}),
        build_optimizers(OptimizerConfig(learning_rate=1e-3), {"w": exact}),
    )
    steps(small, whole, 0, 4), steps(adamw, exact, 0, 4)
    change = (exact - start()).norm()
    assert (whole - exact).norm() < 0.1 * change
    assert all(isinstance(value, torch.Tensor) for value in small.state[whole].values())
    again = torch.nn.Parameter(whole.detach().clone())
    (resumed,) = build_optimizers(config, {"w": again})
    resumed.load_state_dict(small.state_dict())
    steps(small, whole, 4, 6), steps(resumed, again, 4, 6)
    assert torch.equal(whole, again)


def test_adafactor_holds_rows_and_columns_and_lowers_a_loss():
    parameter = torch.nn.Parameter(torch.ones(32, 16))
    (optimizer,) = build_optimizers(OptimizerConfig(name="adafactor", learning_rate=1e-2), {"w": parameter})
    for _ in range(5):
        optimizer.zero_grad()
        parameter.square().sum().backward()
        optimizer.step()
    assert parameter.square().sum() < 32 * 16
    held = sum(v.numel() for v in optimizer.state[parameter].values() if isinstance(v, torch.Tensor))
    assert held <= 32 + 16 + 1


def test_stochastic_rounding_is_right_on_average_where_the_nearest_loses_the_update():
    value = torch.full((20_000,), 1.0 + 1 / 1024)  # an eighth of the way from 1 to the next bf16, 1 + 1/128
    rounded = rounded_stochastically(value, torch.Generator().manual_seed(0)).float()
    assert set(rounded.tolist()) == {1.0, 1 + 1 / 128}
    assert rounded.mean().item() == pytest.approx(1 + 1 / 1024, abs=1e-4)
    assert torch.equal(value.bfloat16().float(), torch.ones_like(value))
    exact = torch.tensor([0.0, -1.5, 3.0, 256.0])
    assert torch.equal(rounded_stochastically(exact, torch.Generator()).float(), exact)


def test_bf16_weights_move_as_float32_ones_on_average_and_resume_bit_for_bit():
    options = {"lr": 1e-4, "betas": (0.9, 0.999), "weight_decay": 0.0}
    small, exact = torch.nn.Parameter(torch.ones(4096).bfloat16()), torch.nn.Parameter(torch.ones(4096))
    ours, torchs = StochasticAdamW([small], **options, seed=1), torch.optim.AdamW([exact], **options)

    def steps(parameter, optimizer, num):
        for _ in range(num):
            parameter.grad = torch.ones_like(parameter)
            optimizer.step()

    steps(small, ours, 20), steps(exact, torchs, 20)
    moved = 1 - exact.mean().item()
    assert moved == pytest.approx(20e-4, rel=1e-3)
    assert 1 - small.float().mean().item() == pytest.approx(moved, rel=0.1)
    again = torch.nn.Parameter(small.detach().clone())
    resumed = StochasticAdamW([again], **options, seed=1)
    resumed.load_state_dict(ours.state_dict())
    steps(small, ours, 3), steps(again, resumed, 3)
    assert torch.equal(small, again)


def test_a_full_fine_tune_on_bf16_weights_runs_and_averages_in_float32(recipe, wan_bf16, tmp_path):
    changes = {"base": str(wan_bf16), "master_weights": "bf16", "precision": "bf16", "ema_decay": 0.9}
    config = TrainConfig.model_validate(recipe | QUICK | changes)
    assert train(config).ok
    assert len(lines(config)) == 2
    average = load_model(config.out / "model").pipeline.transformer.state_dict()["blocks.0.attn1.to_q.weight"]
    assert average.dtype == torch.float32


def test_blocks_in_the_hosts_memory_give_the_same_gradients_and_are_on_the_device_in_turn(tiny_wan):
    model = load_model(tiny_wan)
    inputs = {
        "hidden_states": torch.randn(1, 8, 2, 4, 4, generator=torch.Generator().manual_seed(0)),
        "encoder_hidden_states": torch.randn(1, 6, 16, generator=torch.Generator().manual_seed(1)),
        "timestep": torch.tensor([500]),
        "return_dict": False,
    }
    gradients, most = {}, 0
    groups: list = []
    for offloaded in (False, True):
        transformer = widen_transformer(model.pipeline.transformer)
        place(transformer, "cpu", keep_blocks=offloaded)
        mark_trainable(transformer, model.family, LoraConfig(rank=2), 0)
        for name, parameter in transformer.named_parameters():
            if "lora_B" in name:
                torch.nn.init.ones_(parameter)
        transformer.train()
        transformer.enable_gradient_checkpointing()
        if offloaded:
            groups = offload_blocks(transformer, 1)
            assert len(groups) == sum(len(blocks) for blocks in blocks_of(transformer)) >= 2
            stored = {id(tensor): kept.data_ptr() for group in groups for tensor, kept in group.host}

            def count(*_, groups=groups):
                nonlocal most
                most = max(most, sum(group.is_on for group in groups))

            for module in transformer.modules():
                module.register_forward_hook(count)
                module.register_full_backward_pre_hook(count)
        transformer(**inputs)[0].square().sum().backward()
        gradients[offloaded] = {n: p.grad for n, p in transformer.named_parameters() if p.requires_grad}
    assert most == 1
    assert not any(group.is_on for group in groups)
    assert all(tensor.data_ptr() == stored[id(tensor)] for group in groups for tensor, _ in group.host)
    assert gradients[True].keys() == gradients[False].keys()
    for name, gradient in gradients[False].items():
        torch.testing.assert_close(gradient, gradients[True][name], msg=name)


def test_the_steps_are_set_up_with_offload_and_regional_compilation(recipe, tiny_wan, monkeypatch):
    memory = {"offload_blocks": 1, "gradient_checkpointing": True, "compile": "blocks", "lora": {"rank": 2}}
    config = TrainConfig.model_validate(recipe | memory)
    model = load_model(tiny_wan)
    transformer = widen_transformer(model.pipeline.transformer)
    mark_trainable(transformer, model.family, config.lora, 0)
    compiled = []
    monkeypatch.setattr(type(transformer.blocks[0]), "compile", lambda self, **kwargs: compiled.append(self))
    set_up_steps(config, transformer)
    assert transformer.is_gradient_checkpointing
    assert len(compiled) == len(transformer.blocks)
    assert all(block._forward_pre_hooks for block in transformer.blocks)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lora": {"base_weights": "int8"}, "precision": "fp32"}, "needs precision: bf16"),
        ({"master_weights": "bf16", "precision": "fp32"}, "needs precision: bf16"),
        ({"master_weights": "bf16", "precision": "bf16", "lora": {}}, "lora.base_weights instead"),
        ({"master_weights": "bf16", "precision": "bf16", "optimizer": {"name": "muon"}}, "adamw"),
        ({"offload_blocks": 1, "gradient_checkpointing": True}, "needs lora"),
        ({"offload_blocks": 1, "lora": {}}, "gradient_checkpointing"),
        ({"offload_blocks": 1, "lora": {"base_weights": "fp8"}, "precision": "bf16",
          "gradient_checkpointing": True}, "8-bit"),
    ],
)  # fmt: skip
def test_types_and_places_that_do_not_go_together_are_refused(recipe, changes, words):
    with pytest.raises(ValidationError, match=words):
        TrainConfig.model_validate(recipe | changes)
