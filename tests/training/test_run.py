"""Whole runs on a tiny random base: resume, control, LoRA, export, bad input."""

from __future__ import annotations

import copy
import json
import os
import shutil
import stat

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.distributed.checkpoint import HuggingFaceStorageWriter
from until_export import train_until_export

from tiny_families import write_tiny_mochi
from videojam.errors import VideoJamError
from videojam.joint.convert import convert
from videojam.joint.widen import widen_transformer
from videojam.models.load import load_model
from videojam.models.record import load_record
from videojam.motion.code import MotionCode
from videojam.training.config import TrainConfig
from videojam.training.lora import ADAPTERS_NAME, export_lora, load_lora
from videojam.training.run import train
from videojam.training.speed import TIMES


def config_of(recipe, **changes):
    content = copy.deepcopy(recipe)
    for key, value in changes.items():
        node = content
        *parents, last = key.split("__")
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return TrainConfig.model_validate(content)


def run(recipe, **changes):
    config = config_of(recipe, **changes)
    return config, train(config)


def steps(recipe, **changes):
    """The config of a run that is over before it writes its model."""
    config = config_of(recipe, **changes)
    train_until_export(config)
    return config


@pytest.fixture(scope="module")
def done(recipe_in, tmp_path_factory):
    """Config and report of a run by the recipe as it is, to read and not to change."""
    return run(recipe_in(tmp_path_factory.mktemp("done")))


def weights(folder):
    return load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")


def lines(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_a_run_ends_in_a_verified_joint_folder_with_its_record(done):
    config, report = done
    assert report.ok
    assert report.stored == "equal"
    record = load_record(config.out / "model")
    assert record.motion == MotionCode(estimator="exact", scale=0.06)
    assert record.num_train_steps == 4
    assert load_model(config.out / "model").is_joint
    log = lines(config.out)
    assert {"heldout_appearance@0.3", "heldout_motion@0.7"} <= log[-1].keys()
    assert all({"appearance", "motion", "clipped_share"} <= line.keys() for line in log if "loss" in line)


@pytest.mark.parametrize(
    ("precision", "optimizer"),
    [("fp32", "adamw"), ("bf16", "adamw"), ("bf16", "muon")],
)
def test_a_broken_and_resumed_run_equals_an_unbroken_one_bit_for_bit(
    recipe, done, tmp_path, precision, optimizer
):
    recipe |= {"precision": precision, "optimizer": recipe.get("optimizer", {}) | {"name": optimizer}}
    is_plain = (precision, optimizer) == ("fp32", "adamw")
    unbroken, _ = done if is_plain else run(recipe, out=str(tmp_path / "a"))

    class KilledError(Exception):
        pass

    def kill(kind, content):
        if kind == "line" and content.get("step") == 3 and "loss" in content:
            raise KilledError

    broken = TrainConfig.model_validate(recipe | {"out": str(tmp_path / "b")})
    with pytest.raises(KilledError):
        train(broken, listen=kill)
    notes = []
    train(broken, listen=lambda kind, content: notes.append(content) if kind == "note" else None)
    assert any("resuming from step_00000002" in note for note in notes)
    for name, tensor in weights(unbroken.out / "model").items():
        assert torch.equal(tensor, weights(broken.out / "model")[name]), name
    one, two = (
        load_file(next((c.out / "checkpoints" / "step_00000004").glob("*.safetensors")))
        for c in (unbroken, broken)
    )
    assert {key.partition("/")[0] for key in one} == {"parameters", "ema", "optimizer"}
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
    timeless = [
        [{k: v for k, v in line.items() if k not in TIMES} for line in lines(c.out)]
        for c in (unbroken, broken)
    ]
    assert timeless[0] == timeless[1]


def test_a_weight_by_motion_changes_the_training_and_not_what_held_out_losses_measure(recipe, tmp_path):
    """A weight of 1 to 9 makes each loss 1 to 9 times as large; the first held-out losses are of the same weights."""
    found = {
        factor: lines(steps(recipe, out=str(tmp_path / str(factor)), method="plain", num_steps=1, **more).out)
        for factor, more in ((1, {}), (9, {"objective": {"moving_weight": 9.0}}))
    }
    first = {
        factor: next(line for line in log if "heldout_appearance@0.3" in line)
        for factor, log in found.items()
    }
    assert first[1] == first[9]
    plain, weighted = (next(line["loss"] for line in found[factor] if "loss" in line) for factor in (1, 9))
    assert 1.05 * plain < weighted < 9 * plain


def test_motion_dropout_1_and_weight_0_is_the_plain_fine_tune(recipe, tmp_path):
    """Identity 5; AdamW's decay is off, so entries without gradient do not move."""
    joint, _ = run(
        recipe,
        out=str(tmp_path / "a"),
        objective={"motion_weight": 0.0, "motion_dropout": 1.0},
        save_dtype="fp32",
    )
    plain, report = run(recipe, out=str(tmp_path / "b"), method="plain", save_dtype="fp32")
    assert report.ok
    assert load_record(plain.out / "model") is None
    wide, narrow = weights(joint.out / "model"), weights(plain.out / "model")
    num_channels, positions = 4, 4
    projection = {
        "patch_embedding.weight": wide["patch_embedding.weight"][:, :num_channels],
        "proj_out.weight": wide["proj_out.weight"]
        .unflatten(0, (positions, 2, num_channels))[:, 0]
        .flatten(0, 1),
        "proj_out.bias": wide["proj_out.bias"].unflatten(0, (positions, 2, num_channels))[:, 0].flatten(),
    }
    for name, tensor in narrow.items():
        torch.testing.assert_close(projection.get(name, wide[name]), tensor, rtol=1e-5, atol=1e-6)
    assert [line["appearance"] for line in lines(joint.out) if "loss" in line] == pytest.approx(
        [line["appearance"] for line in lines(plain.out) if "loss" in line], rel=1e-5
    )


def test_lambda_moves_along_a_line(recipe):
    config = steps(
        recipe, num_steps=4, log_every=1, objective={"motion_weight": 1.0, "motion_weight_end": 0.2}
    )
    taken = [line for line in lines(config.out) if "loss" in line]
    weights_used = [(line["loss"] - line["appearance"]) / line["motion"] for line in taken]
    assert weights_used == pytest.approx([1.0, 0.8, 0.6, 0.4], rel=1e-4)


def test_training_lowers_both_losses_and_a_wrong_sign_of_the_target_would_not(recipe):
    config = steps(
        recipe,
        num_steps=60,
        optimizer={"learning_rate": 3e-3, "new_rate_factor": 1.0},
        objective={"text_dropout": 0.0, "motion_dropout": 0.0},
        log_every=10,
        checkpoint_every=60,
        validate_every=60,
    )
    first, last = (line for line in lines(config.out) if "heldout_motion@0.7" in line)
    for key in ("heldout_appearance@0.3", "heldout_motion@0.3", "heldout_motion@0.7"):
        assert last[key] < 0.97 * first[key], key


def test_new_rows_and_columns_move_by_their_own_rate(recipe, tmp_path):
    common = {"num_steps": 1, "optimizer": {"learning_rate": 1e-4}, "ema_decay": 0.0, "save_dtype": "fp32"}
    one, _ = run(recipe, out=str(tmp_path / "a"), **common, optimizer__new_rate_factor=1.0)
    ten, _ = run(recipe, out=str(tmp_path / "b"), **common, optimizer__new_rate_factor=10.0)
    before = weights(convert(recipe["base"], tmp_path / "joint"))
    moved = [weights(c.out / "model")["proj_out.weight"] - before["proj_out.weight"] for c in (one, ten)]
    appearance, motion = (m.unflatten(0, (4, 2, 4)) for m in moved)
    torch.testing.assert_close(motion[:, 1], 10 * appearance[:, 1], rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(motion[:, 0], appearance[:, 0], rtol=0, atol=0)
    assert appearance[:, 1].abs().max() > 5e-5


def test_accumulated_parts_give_the_step_of_the_whole_batch(recipe, tmp_path):
    whole, _ = run(recipe, out=str(tmp_path / "a"), save_dtype="fp32")
    parts, _ = run(
        recipe, out=str(tmp_path / "b"), save_dtype="fp32", accumulation=3, gradient_checkpointing=True
    )
    for name, tensor in weights(whole.out / "model").items():
        torch.testing.assert_close(weights(parts.out / "model")[name], tensor, rtol=1e-3, atol=2e-4)


def test_lora_is_exported_fused_and_reloads_on_a_freshly_converted_base(recipe, tmp_path):
    config, report = run(recipe, lora={"rank": 2}, save_dtype="fp32", num_steps=6)
    assert report.ok
    fused = load_model(config.out / "model").pipeline.transformer
    fresh = load_model(convert(recipe["base"], tmp_path / "joint")).pipeline.transformer
    inputs = {
        "hidden_states": torch.randn(1, 8, 3, 4, 4),
        "timestep": torch.tensor([500.0]),
        "encoder_hidden_states": torch.randn(1, 5, 16),
    }
    with torch.no_grad():
        untrained = fresh(**inputs).sample
        load_lora(fresh, config.out / "lora")
        torch.testing.assert_close(fresh(**inputs).sample, fused(**inputs).sample, rtol=1e-4, atol=1e-4)
        assert (untrained - fused(**inputs).sample).abs().max() > 1e-3


@pytest.mark.parametrize("alpha", [None, 6])
def test_stock_diffusers_loads_the_adapters_and_samples_what_the_fused_model_does(recipe, tmp_path, alpha):
    """Keys as `load_lora_weights` expects them, with the scale of another alpha than the rank in the file."""
    from diffusers import DiffusionPipeline

    changes = {"lora": {"rank": 2, "alpha": alpha}, "save_dtype": "fp32", "num_steps": 2, "ema_decay": 0.0}
    config, _ = run(recipe, **changes, optimizer__learning_rate=0.05)
    pipe = DiffusionPipeline.from_pretrained(convert(recipe["base"], tmp_path / "joint"))
    pipe.load_lora_weights(config.out / "lora")
    assert pipe.get_active_adapters() == ["default_0"]
    assert pipe.get_list_adapters() == {"transformer": ["default_0"]}
    fused = DiffusionPipeline.from_pretrained(config.out / "model").transformer
    inputs = {
        "hidden_states": torch.randn(1, 8, 3, 4, 4),
        "timestep": torch.tensor([500.0]),
        "encoder_hidden_states": torch.randn(1, 5, 16),
    }
    with torch.no_grad():
        without = pipe.transformer(**inputs).sample
        pipe.transformer.load_state_dict(
            load_file(config.out / "lora" / "projections.safetensors"), strict=False
        )
        torch.testing.assert_close(
            pipe.transformer(**inputs).sample, fused(**inputs).sample, rtol=1e-4, atol=1e-4
        )
        pipe.disable_lora()
        assert (pipe.transformer(**inputs).sample - fused(**inputs).sample).abs().max() > 1e-3
    assert (without - fused(**inputs).sample).abs().max() > 1e-3


@pytest.fixture(scope="module")
def lora_folder(tiny_wan, tmp_path_factory):
    """Adapters for the two blocks of the tiny base, as a run writes them."""
    from peft import LoraConfig

    transformer = widen_transformer(load_model(tiny_wan).pipeline.transformer)
    transformer.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    projections = ("patch_embedding.", "proj_out.")
    tensors = {name: t for name, t in transformer.state_dict().items() if name.startswith(projections)}
    out = tmp_path_factory.mktemp("lora")
    export_lora(transformer, tensors, out)
    return out / "lora"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"in_channels": 12}, "in_channels is 8 in the folder and 16 in the model"),
        ({"num_layers": 1}, "num_layers is 2 in the folder and 1 in the model"),
        ({"num_layers": 3}, "num_layers"),
        ({"num_attention_heads": 4}, "num_attention_heads"),
        ({"text_dim": 24}, "text_dim"),
    ],
    ids=str,
)
def test_lora_of_another_base_is_refused(lora_folder, tiny_wan, change, found):
    """Also where every adapter has a place; and before anything of the model has changed."""
    base = load_model(tiny_wan).pipeline.transformer
    model = widen_transformer(type(base).from_config({**base.config, **change}))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(VideoJamError, match="adapters and projections of a run on this base") as caught:
        load_lora(model, lora_folder)
    assert found in caught.value.found
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_file_without_prefix_as_earlier_versions_wrote_it_loads(lora_folder, tiny_wan, tmp_path):
    folder = shutil.copytree(lora_folder, tmp_path / "old")
    file = folder / "pytorch_lora_weights.safetensors"
    tensors = load_file(file)
    assert all(key.startswith("transformer.") for key in tensors)
    file.unlink()
    save_file({key.partition(".")[2]: t for key, t in tensors.items()}, file)
    model = widen_transformer(load_model(tiny_wan).pipeline.transformer)
    load_lora(model, folder)
    assert model.active_adapters() == ["default_0"]


def test_lora_of_another_family_or_of_no_run_is_refused(lora_folder, tiny_wan, tmp_path):
    mochi = widen_transformer(load_model(write_tiny_mochi(tmp_path / "mochi")).pipeline.transformer)
    with pytest.raises(VideoJamError, match="_class_name is WanTransformer3DModel in the folder"):
        load_lora(mochi, lora_folder)
    wan = widen_transformer(load_model(tiny_wan).pipeline.transformer)
    with pytest.raises(VideoJamError, match="no such file"):
        load_lora(wan, tmp_path)
    broken = shutil.copytree(lora_folder, tmp_path / "broken")
    (broken / ADAPTERS_NAME).write_bytes(b"x")
    with pytest.raises(VideoJamError, match="header too small"):
        load_lora(wan, broken)
    load_lora(wan, lora_folder)


def test_resume_with_another_config_names_the_field(recipe):
    steps(recipe, num_steps=2)
    with pytest.raises(
        VideoJamError, match=r"optimizer\.learning_rate = 0\.001.*found optimizer\.learning_rate = 0\.5"
    ):
        run(recipe, optimizer__learning_rate=0.5)


def test_nan_stops_with_the_step_and_keeps_the_last_checkpoint(recipe, monkeypatch):
    from videojam.objective import denoiser as joint_step

    real = joint_step.half_losses
    calls = []

    def poisoned(*args, **kwargs):
        calls.append(1)
        losses = real(*args, **kwargs)
        return (
            [loss * float("nan") for loss in losses] if torch.is_grad_enabled() and len(calls) > 4 else losses
        )

    monkeypatch.setattr(joint_step, "half_losses", poisoned)
    with pytest.raises(VideoJamError, match=r"expected a finite loss.*nan") as caught:
        run(recipe)
    assert caught.value.where == "step 3"
    assert [p.name for p in (TrainConfig.model_validate(recipe).out / "checkpoints").iterdir()] == [
        "step_00000002"
    ]


@pytest.mark.parametrize("broken", ["rename", "write"])
def test_a_failed_save_leaves_the_previous_checkpoint(recipe, monkeypatch, broken):
    real = os.replace if broken == "rename" else HuggingFaceStorageWriter.write_data

    def full_disk(*args, **kwargs):
        if "step_00000004" in str(getattr(args[0], "path", args[0])):
            raise OSError(28, "No space left on device")
        return real(*args, **kwargs)

    if broken == "rename":
        monkeypatch.setattr(os, "replace", full_disk)
    else:
        monkeypatch.setattr(HuggingFaceStorageWriter, "write_data", full_disk)
    with pytest.raises(VideoJamError, match=r"No space left.*goes on from step_00000002"):
        run(recipe)
    assert [p.name for p in (TrainConfig.model_validate(recipe).out / "checkpoints").iterdir()] == [
        "step_00000002"
    ]


def test_a_damaged_checkpoint_is_named(recipe):
    config = steps(recipe, num_steps=2)
    file = next((config.out / "checkpoints" / "step_00000002").glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(VideoJamError, match="whole checkpoint") as caught:
        run(recipe)
    assert "step_00000002" in caught.value.where


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(recipe, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(VideoJamError, match="room and permission to write"):
        run(recipe, out=str(closed / "run"))


def test_a_second_run_goes_on_from_a_joint_model(recipe, done, tmp_path):
    first, _ = done
    second, _ = run(recipe, base=str(first.out / "model"), out=str(tmp_path / "more"), num_steps=2)
    assert load_record(second.out / "model").num_train_steps == 4 + 2
    with pytest.raises(VideoJamError, match="scale"):
        run(recipe, base=str(first.out / "model"), out=str(tmp_path / "other"), motion__scale=0.3)


def test_a_trained_folder_loads_in_a_process_that_never_imports_videojam(done, tmp_path, warm_python):
    config, _ = done
    shutil.copytree(config.out / "model" / "transformer", tmp_path / "elsewhere")
    code = (
        "import sys; from diffusers import WanTransformer3DModel as M;"
        f"m = M.from_pretrained({str(tmp_path / 'elsewhere')!r});"
        "assert m.config.in_channels == m.config.out_channels == 8; assert 'videojam' not in sys.modules"
    )
    (done,) = warm_python.run(code)
    assert done.returncode == 0, done.output
