"""A dry run counts what a trainer allocates, and loads and writes nothing."""

from __future__ import annotations

import pytest
import yaml
from typer.testing import CliRunner

from tiny_families import write_tiny_mochi
from videojam import cli
from videojam.errors import VideoJamError
from videojam.joint.widen import widen_transformer
from videojam.models.load import load_model
from videojam.sampling.sample import sample
from videojam.training.config import LoraConfig, TrainConfig
from videojam.training.dry_run import dry_run, duration
from videojam.training.trainable import build_state, mark_trainable, set_up_steps


@pytest.fixture(scope="module")
def dried():
    """Gives a recipe's dry run at 2 TFLOP/s; each takes seconds, and several tests look at the same."""
    known = {}

    def run(config):
        key = config.model_dump_json(exclude={"out"})
        return known.get(key) or known.setdefault(key, dry_run(config, tflops=2.0))

    return run


@pytest.mark.parametrize("method", ["videojam", "plain"])
@pytest.mark.parametrize("lora", [None, {"rank": 2}])
def test_parts_are_those_of_a_real_trainer(recipe, dried, method, lora):
    config = TrainConfig.model_validate({**recipe, "method": method, "lora": lora})
    memory = dried(config).memory
    model = load_model(recipe["base"])
    transformer = model.pipeline.transformer
    if method == "videojam":
        transformer = widen_transformer(transformer)
    mark_trainable(transformer, model.family, None if lora is None else LoraConfig(**lora), 0)
    state = build_state(config, transformer)
    trained = sum(value.numel() for value in state.parameters.values())
    assert memory.num_trained == trained
    assert memory.weights == 4 * sum(value.numel() for value in transformer.parameters())
    assert (memory.gradients, memory.adam, memory.ema, memory.bf16_copies) == (
        4 * trained, 8 * trained, 4 * sum(value.numel() for value in state.ema.values()), 0,
    )  # fmt: skip


def test_the_verb_prints_it_and_writes_nothing(recipe, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe))
    done = CliRunner().invoke(cli.app, ["train", str(file), "--dry-run"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "4 steps of 3 clips: 9 frames of 32×32 px" in done.stdout
    assert "activations and gradients" in done.stdout
    assert "hours at the least" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "under 0.1 hours"),
        (56_160, "15.6 hours"),
        (48 * 3600, "48.0 hours"),
        (72 * 3600, "3 days"),
        (1000 * 86400, "1,000 days"),
        (1e20, "over ten years"),
    ],
)
def test_a_time_is_said_in_a_unit_that_can_be_read(seconds, words):
    assert duration(seconds) == words


def test_an_expert_must_be_named(recipe, tiny_wan_experts):
    for changes in ({"base": str(tiny_wan_experts)}, {"expert": "no_such"}):
        with pytest.raises(VideoJamError, match="expected expert: one of transformer"):
            dry_run(TrainConfig.model_validate({**recipe, **changes}))
    config = TrainConfig.model_validate({**recipe, "base": str(tiny_wan_experts), "expert": "transformer_2"})
    assert dry_run(config, tflops=1.0).facts.component == "transformer_2"


def real_peak(transformer, family, recipe, rows=3):
    """The peak of one real step's tensors above the weights, counted as they are made and freed."""
    import torch

    from videojam.joint.batch import Batch
    from videojam.objective.denoiser import Denoiser
    from videojam.objective.draws import Draws
    from videojam.objective.loss import joint_loss
    from videojam.training.simulate import Tracker

    with Tracker(transformer.parameters()) as tracker:
        latent = torch.zeros(rows, 4, 3, 4, 4)
        text = {"encoder_hidden_states": torch.ones(rows, 16, 16)}
        never, sigma = torch.zeros(rows, dtype=torch.bool), torch.rand(rows)
        draws = Draws(
            sigma=sigma, sigma_d=sigma, eps_x=latent, eps_d=latent.clone(), drop_text=never, drop_motion=never
        )
        null = {"encoder_hidden_states": torch.ones(1, 16, 16)}
        denoiser = Denoiser(transformer, family, True, null)
        loss = joint_loss(denoiser.losses(Batch(latent, latent.clone(), text), draws), 1.0)
        loss.backward()
    return tracker.peak, tracker.flops


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_simulated_step_holds_and_does_what_a_real_one_does(recipe, dried, tiny_wan, checkpointing):
    config = TrainConfig.model_validate({**recipe, "gradient_checkpointing": checkpointing})
    found = dried(config).estimate
    model = load_model(tiny_wan)
    transformer = widen_transformer(model.pipeline.transformer).train()
    if checkpointing:
        transformer.enable_gradient_checkpointing()
    peak, flops = real_peak(transformer, model.family, recipe)
    assert found.flops == flops
    assert found.step == pytest.approx(peak, rel=0.05)
    assert found.training == found.memory.weights + found.memory.adam + found.memory.ema + found.step


def tracked(module, call):
    """The peak of what a call makes beside a module's weights, and its operations."""
    import torch

    from videojam.training.simulate import Tracker

    with torch.no_grad(), Tracker(module.parameters()) as tracker:
        call()
    return tracker.peak, tracker.flops


def test_validation_clips_cost_what_real_ones_do(recipe, tiny_joints):
    """Two texts, and clips after steps 3 and 4: each set decodes the base's clip, the model's and its motion."""
    import torch

    samples = {"every": 3, "prompts": ["a", "b"], "settings": {"num_steps": 4, "w_text": 2.0}}
    config = TrainConfig.model_validate({**recipe, "samples": samples})
    run = dry_run(config, tflops=1.0)
    found, model = run.estimate.samples, load_model(tiny_joints["t2v"])
    family, pipe = model.family, model.pipeline
    text, sigma = {"encoder_hidden_states": torch.ones(1, 16, 16)}, torch.rand(1)
    forward = tracked(
        pipe.transformer, lambda: family.denoise(pipe.transformer, torch.zeros(1, 8, 3, 4, 4), sigma, text)
    )
    decoding = tracked(pipe.vae, lambda: family.decode_video(pipe, torch.zeros(1, 4, 3, 4, 4)))
    assert (found.forward, found.decoding) == pytest.approx((forward[0], decoding[0]), rel=0.05)
    sizes = {"num_frames": 9, "height": 32, "width": 32, "max_sequence_length": 16}
    trace = sample(model, ["a"], num_steps=4, w_text=2.0, decode=False, **sizes).trace
    of_model, of_base = 2 * trace.num_evaluations, 4 * 2
    expected = 2 * ((of_model + of_base) * forward[1] + 2 * 3 * decoding[1])
    assert found.flops == pytest.approx(expected, rel=0.02)
    held = sum(4 * p.numel() for p in pipe.vae.parameters())
    waiting = run.memory.ema + found.forward
    assert run.estimate.sampling == run.estimate.held + held + max(waiting, found.decoding)
    assert run.total_s(config) == pytest.approx((4 * run.estimate.flops + found.flops) / 1e12)


def test_blocks_that_wait_in_the_hosts_memory_are_not_counted_on_the_device(recipe, tiny_wan):
    changes = {"lora": {"rank": 2}, "gradient_checkpointing": True, "precision": "fp32"}
    config = TrainConfig.model_validate({**recipe, **changes, "offload_blocks": 1})
    found = dry_run(config, tflops=1.0).estimate
    memory, peaks = found.memory, []
    for offload in (None, 1):  # on the CPU, a block on the device is a copy
        model = load_model(tiny_wan)
        transformer = widen_transformer(model.pipeline.transformer)
        block = sum(4 * p.numel() for p in transformer.blocks[0].parameters())
        mark_trainable(transformer, model.family, config.lora, 0)
        set_up_steps(config.model_copy(update={"offload_blocks": offload}), transformer)
        peaks.append(real_peak(transformer, model.family, recipe)[0])
    assert peaks[1] - peaks[0] == block
    assert found.offloaded == block  # of two blocks, one is on the device
    assert found.held == memory.weights - block + memory.adam + memory.ema
    assert found.step == pytest.approx(peaks[0], rel=0.1)


def test_time_follows_the_rate_and_cards_the_memory(recipe, dried):
    found = dried(TrainConfig.model_validate(recipe))
    assert found.step_s == found.estimate.flops / 2e12
    config = TrainConfig.model_validate(recipe)
    assert found.estimate.cards(10.0 * found.estimate.training, config) == 1
    assert found.estimate.cards(1.0, config) is None


def test_a_model_whose_shapes_follow_from_a_mask_is_simulated_with_all_of_its_text(tmp_path):
    base = write_tiny_mochi(tmp_path / "mochi")
    source = {"kind": "folder", "path": "clips", "num_frames": 7, "height": 64, "width": 64, "fps": 8}
    recipe = {"base": str(base), "out": str(tmp_path / "out"), "data": {"source": source}, "num_steps": 2}
    one, two = (
        dry_run(TrainConfig.model_validate(recipe | {"batch_size": size}), tflops=1.0) for size in (1, 2)
    )
    assert two.estimate.flops == pytest.approx(2 * one.estimate.flops, rel=0.02)


def test_attention_is_counted_and_a_weight_that_is_read_takes_no_memory():
    import torch

    from videojam.training.simulate import Tracker

    length, width = 64, 32
    q, k, v = (torch.zeros(1, 2, length, width // 2, requires_grad=True) for _ in range(3))
    weight = torch.zeros(width, 3 * width)
    with Tracker([q, k, v, weight]) as tracker:
        torch.nn.functional.scaled_dot_product_attention(q, k, v)
        forward = tracker.flops
        held = tracker.now
        weight.t()
        assert tracker.now == held
    assert forward == 4 * length**2 * width  # two products, of which a multiplication and an addition are two
