"""A mixture of two experts is trained one after the other, each on its own range of t."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from videojam.errors import VideoJamError
from videojam.models.load import load_model
from videojam.objective.config import ObjectiveConfig
from videojam.objective.draws import draw, sample_t, sample_t_within
from videojam.sampling.verify import fingerprint, load_for_fingerprint
from videojam.seeds import generator_of
from videojam.training.config import TrainConfig
from videojam.training.run import train


def weights(folder, expert):
    return load_file(folder / expert / "diffusion_pytorch_model.safetensors")


def changed(one, other, expert):
    before, after = weights(one, expert), weights(other, expert)
    return [name for name, tensor in before.items() if not torch.equal(tensor, after[name])]


def test_two_runs_train_both_experts_and_each_leaves_the_other(recipe, tiny_wan_experts, tmp_path):
    def run(name, base, expert):
        content = {**recipe, "base": str(base), "out": str(tmp_path / name), "expert": expert}
        config = TrainConfig.model_validate({**content, "num_steps": 2, "validate_t": [0.1, 0.5]})
        report = train(config)
        assert report.ok
        log = (config.out / "log.jsonl").read_text().splitlines()
        return config.out / "model", set().union(*(json.loads(line) for line in log))

    first, keys = run("high", tiny_wan_experts, "transformer")
    assert "heldout_motion@0.1" in keys
    assert "heldout_motion@0.5" not in keys  # σ = 0.5 is below the boundary, 0.875
    assert load_model(first).is_joint
    second, keys = run("low", first, "transformer_2")
    assert "heldout_motion@0.5" in keys
    assert "heldout_motion@0.1" not in keys
    assert changed(first, second, "transformer") == []
    assert len(changed(first, second, "transformer_2")) > 10
    untrained = weights(first, "transformer_2")["proj_out.bias"].unflatten(0, (4, 2, 4))
    assert not untrained[:, 1].any()  # converted, not trained


@torch.no_grad()
def test_experts_beside_the_trained_one_keep_the_type_of_their_files(tiny_wan_experts, tmp_path):
    """They compute in float32: latents are those of the whole pipeline in float32, bit for bit."""
    folder = shutil.copytree(tiny_wan_experts, tmp_path / "bf16")
    for name in ("transformer", "transformer_2"):
        getattr(load_model(tiny_wan_experts).pipeline, name).bfloat16().save_pretrained(folder / name)
    whole = load_model(folder, torch_dtype=torch.float32)
    model = load_for_fingerprint(folder, {"transformer": whole.pipeline.transformer})
    other = model.pipeline.transformer_2
    kept = {name for name, p in other.named_parameters() if p.dtype == torch.bfloat16}
    assert "blocks.1.ffn.net.2.weight" in kept
    assert all(name.startswith("blocks.") for name in kept)
    assert other.dtype == torch.float32
    assert torch.equal(fingerprint(model), fingerprint(whole))


@pytest.mark.parametrize("expert", [None, "transformer_3"])
def test_an_expert_must_be_named(recipe, tiny_wan_experts, expert):
    config = TrainConfig.model_validate({**recipe, "base": str(tiny_wan_experts), "expert": expert})
    with pytest.raises(VideoJamError, match="transformer, transformer_2"):
        train(config)


@pytest.mark.parametrize("sampling", ["uniform", "logit_normal"])
@pytest.mark.parametrize("shift", [1.0, 5.0])
def test_times_of_a_range_are_those_of_the_whole_that_fall_into_it(sampling, shift):
    config = ObjectiveConfig(t_sampling=sampling, t_shift=shift, t_mean=0.3, t_std=0.8)
    sigma = 1 - sample_t(config, 200_000, generator_of(0, 0, "t"))
    whole = sigma[(sigma > 0.6) & (sigma < 0.9)]
    within = 1 - sample_t_within(config, 50_000, generator_of(1, 0, "t"), (0.6, 0.9))
    assert within.min() >= 0.6 - 1e-6
    assert within.max() <= 0.9 + 1e-6
    points = torch.tensor([0.1, 0.5, 0.9])
    assert torch.allclose(whole.quantile(points), within.quantile(points), atol=5e-3)


def test_the_whole_range_draws_as_before():
    config = ObjectiveConfig()
    one, two = draw(config, 0, 3, 4, (2, 2)), draw(config, 0, 3, 4, (2, 2), (0.0, 1.0))
    assert torch.equal(one.sigma, two.sigma)
    assert torch.equal(one.sigma, 1 - sample_t(config, 4, generator_of(0, 3, "t")))
