"""Folders that can't be converted are refused with a reason, and nothing is left behind."""

from __future__ import annotations

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_pipelines import write_tiny_wan

from videojam import cli
from videojam.errors import VideoJamError
from videojam.joint.convert import convert
from videojam.models.record import RECORD_NAME, load_record

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def base(tiny_wan, tmp_path):
    return shutil.copytree(tiny_wan, tmp_path / "base")


def edit_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refused(base, tmp_path) -> VideoJamError:
    with pytest.raises(VideoJamError) as caught:
        convert(base, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".out")]
    return caught.value


def test_missing_folder(tmp_path):
    assert refused(tmp_path / "none", tmp_path).found == "no such folder"


def test_folder_of_something_else(tmp_path):
    (tmp_path / "photos").mkdir()
    assert "model_index.json" in refused(tmp_path / "photos", tmp_path).expected


def test_a_link_to_itself(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    assert refused(tmp_path / "loop", tmp_path).found == "no such folder"


def test_an_index_that_names_no_pipeline(base, tmp_path):
    edit_json(base / "model_index.json", _class_name=None)
    assert refused(base, tmp_path).expected.startswith("_class_name")


def test_a_config_that_leaves_out_blocks_of_the_weights_is_refused(base, tmp_path):
    edit_json(base / "transformer" / "config.json", num_layers=1)
    assert refused(base, tmp_path).found.endswith("of which the first is blocks.1")


@pytest.mark.parametrize("num_layers", [-1, 0, True, None, 2.0])
def test_a_number_of_layers_is_a_whole_number_from_1_on(base, tmp_path, num_layers):
    edit_json(base / "transformer" / "config.json", num_layers=num_layers)
    error = refused(base, tmp_path)
    assert (error.expected, error.found) == ("num_layers as a whole number from 1 on", repr(num_layers))


def test_missing_shard_is_named(tmp_path):
    base = write_tiny_wan(tmp_path / "base", max_shard_size="20KB")
    shard = sorted((base / "transformer").glob("*-0000*.safetensors"))[1]
    shard.unlink()
    assert shard.name in refused(base, tmp_path).expected


@pytest.mark.parametrize("component", ["transformer", "vae", "text_encoder", "tokenizer"])
def test_missing_component_is_named(base, tmp_path, component):
    shutil.rmtree(base / component)
    error = refused(base, tmp_path)
    assert component in error.expected
    assert error.where.endswith(component)


@pytest.mark.parametrize("component", ["transformer", "vae"])
def test_missing_weights(base, tmp_path, component):
    (base / component / WEIGHTS).unlink()
    assert refused(base, tmp_path).expected == "weights beside config.json"


@pytest.mark.parametrize("component", ["transformer", "vae"])
def test_truncated_weights(base, tmp_path, component):
    file = base / component / WEIGHTS
    file.write_bytes(file.read_bytes()[:-100])
    error = refused(base, tmp_path)
    assert error.expected == "a complete safetensors file"
    assert error.where == str(file)


def test_pickled_weights_are_not_read(base, tmp_path):
    (base / "transformer" / WEIGHTS).rename(base / "transformer" / "diffusion_pytorch_model.bin")
    assert refused(base, tmp_path).expected == "safetensors weights"


def test_unknown_transformer_class_lists_the_known(base, tmp_path):
    edit_json(base / "model_index.json", transformer=["diffusers", "FluxTransformer2DModel"])
    error = refused(base, tmp_path)
    assert error.found == "FluxTransformer2DModel"
    assert "WanTransformer3DModel" in error.expected


def test_image_pipeline(base, tmp_path):
    edit_json(base / "model_index.json", transformer=[None, None], unet=["diffusers", "UNet2DConditionModel"])
    (base / "transformer").rename(base / "unet")
    assert refused(base, tmp_path).found == "UNet2DConditionModel"


def test_converting_twice(tiny_joints, tmp_path):
    assert RECORD_NAME in refused(tiny_joints["t2v"], tmp_path).found


def test_converting_twice_is_seen_without_the_record_too(tiny_joints, tmp_path):
    joint = shutil.copytree(tiny_joints["t2v"], tmp_path / "joint")
    (joint / RECORD_NAME).unlink()
    assert "joint model" in refused(joint, tmp_path).found


@pytest.mark.parametrize("key", ["in_channels", "out_channels"])
def test_config_that_disagrees_with_the_weights(base, tmp_path, key):
    edit_json(base / "transformer" / "config.json", **{key: 6})
    error = refused(base, tmp_path)
    assert "as the config says" in error.expected
    assert WEIGHTS in error.where


def test_weights_without_the_projections(base, tmp_path):
    file = base / "transformer" / WEIGHTS
    tensors = load_file(file)
    del tensors["proj_out.weight"]
    save_file(tensors, file)
    assert "proj_out.weight" in refused(base, tmp_path).expected


def test_quantised_checkpoint(base, tmp_path):
    edit_json(base / "transformer" / "config.json", quantization_config={"quant_method": "bitsandbytes"})
    assert "quantised" in refused(base, tmp_path).found


def test_broken_config(base, tmp_path):
    (base / "transformer" / "config.json").write_text('{"_class_name": "Wan')
    assert refused(base, tmp_path).where.endswith("config.json")


def test_hub_id_without_network(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    error = refused("nobody/no-such-model", tmp_path)
    assert "hub" in error.found
    assert "network" in error.fix


def test_existing_output_is_kept(tiny_wan, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("x")
    with pytest.raises(VideoJamError, match="exists"):
        convert(tiny_wan, tmp_path / "out")
    assert (tmp_path / "out" / "precious").read_text() == "x"


def test_disk_full_leaves_nothing(tiny_wan, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert refused(tiny_wan, tmp_path).found == "No space left on device"


def test_broken_record_names_its_field(tiny_joints, tmp_path):
    edit = {**json.loads((tiny_joints["t2v"] / RECORD_NAME).read_text()), "text_dropout": 2}
    (tmp_path / RECORD_NAME).write_text(json.dumps(edit))
    with pytest.raises(VideoJamError, match="text_dropout"):
        load_record(tmp_path)


def test_weights_of_eight_bits_without_a_quantisation_config(base, tmp_path):
    file = base / "transformer" / WEIGHTS
    tensors = load_file(file)
    name = "blocks.0.attn1.to_q.weight"
    save_file(tensors | {name: tensors[name].to(torch.float8_e4m3fn)}, file)
    assert refused(base, tmp_path).found == f"a quantised checkpoint: {name} is F8_E4M3"


LINES = {
    "image model": (
        "model_index.json",
        {"transformer": [None, None], "unet": ["diffusers", "UNet2DConditionModel"]},
    ),
    "unknown class": ("transformer/config.json", {"_class_name": "FluxTransformer2DModel"}),
    "quantised": ("transformer/config.json", {"quantization_config": {"quant_method": "bitsandbytes"}}),
    "channels": ("transformer/config.json", {"in_channels": 6}),
    "missing shard": ("", {}),
    "one expert": ("", {}),
}
FOUND = {
    "image model": "UNet2DConditionModel",
    "unknown class": "docs/adding-a-family.md",
    "quantised": "quantised",
    "channels": "as the config says",
    "missing shard": "diffusion_pytorch_model-00002",
    "one expert": "transformer_2: base",
}


@pytest.mark.parametrize("line", LINES)
def test_the_command_line_says_it_without_a_traceback(line, tmp_path, monkeypatch, capsys):
    base = write_tiny_wan(tmp_path / "base", max_shard_size="20KB", experts=line == "one expert")
    command = ["convert", str(base), str(tmp_path / "out")]
    file, changes = LINES[line]
    if line == "missing shard":
        next((base / "transformer").glob("*-00002*.safetensors")).unlink()
    elif line == "one expert":
        joint = convert(base, tmp_path / "joint")
        shutil.rmtree(joint / "transformer_2")
        shutil.copytree(base / "transformer_2", joint / "transformer_2")
        command = ["generate", str(joint), "a red ball", "--out", str(tmp_path / "clips")]
    else:
        if line == "image model":
            (base / "transformer").rename(base / "unet")
        edit_json(base / file, **changes)
    monkeypatch.setattr("sys.argv", ["videojam", *command])
    with pytest.raises(SystemExit) as stopped:
        cli.run()
    assert stopped.value.code == 2
    shown = " ".join(capsys.readouterr().err.split())
    assert FOUND[line] in shown
    assert "Traceback" not in shown
    assert not (tmp_path / "out").exists()
