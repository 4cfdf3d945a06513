"""Converting folders: every kind of folder, file layout and weights' type that the hub has."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import WanTransformer3DModel
from safetensors.torch import load_file
from tiny_pipelines import write_tiny_wan

from videojam.errors import VideoJamError
from videojam.joint.convert import convert
from videojam.joint.widen import widen_transformer
from videojam.models.header import read_header
from videojam.models.record import load_record
from videojam.models.stream import rewrite
from videojam.motion.code import MotionCode


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {k: v for file in sorted(folder.glob("*.safetensors")) for k, v in load_file(file).items()}


@pytest.mark.parametrize("kind", ["t2v", "i2v", "per_token", "experts"])
@pytest.mark.parametrize("init", ["zero", "copy"])
def test_folder_equals_widening_in_memory(tiny_bases, tmp_path, kind, init):
    out = convert(tiny_bases[kind], tmp_path / "joint", output_init=init)
    for name in ("transformer", "transformer_2") if kind == "experts" else ("transformer",):
        expected = widen_transformer(WanTransformer3DModel.from_pretrained(tiny_bases[kind] / name), init)
        loaded, info = WanTransformer3DModel.from_pretrained(out / name, output_loading_info=True)
        assert not info["missing_keys"]
        assert not info["unexpected_keys"]
        assert not info["mismatched_keys"]
        state = loaded.state_dict()
        assert all(torch.equal(state[key], value) for key, value in expected.state_dict().items())
    others = [
        path.relative_to(out)
        for path in out.rglob("*")
        if path.is_file() and "transformer" not in str(path.relative_to(out))
    ]
    for path in others:
        if path.name != "videojam.json":
            assert (out / path).read_bytes() == (tiny_bases[kind] / path).read_bytes()


def test_record_remembers_the_motion_code(tiny_wan, tmp_path):
    code = MotionCode(style="saturation", scale=0.05)
    record = load_record(convert(tiny_wan, tmp_path / "joint", motion=code))
    assert record.motion == code
    assert record.base == str(tiny_wan)
    assert record.null == "zeros"


def test_bare_transformer_folder_gives_a_bare_joint_folder(tiny_wan, tmp_path):
    out = convert(tiny_wan / "transformer", tmp_path / "joint")
    assert sorted(path.name for path in out.iterdir()) == [
        "config.json",
        "diffusion_pytorch_model.safetensors",
        "videojam.json",
    ]
    assert WanTransformer3DModel.from_pretrained(out).config.out_channels == 8


@pytest.mark.parametrize("name", ["videojam.json", "transformer"])
def test_the_transformer_inside_of_a_joint_pipeline_is_not_widened_again(tiny_joints, tmp_path, name):
    """With the record, or without it, by the channels of the autoencoder beside it."""
    joint = shutil.copytree(tiny_joints["t2v"], tmp_path / "joint")
    if name == "transformer":
        (joint / "videojam.json").unlink()
    with pytest.raises(VideoJamError, match="expected a base model"):
        convert(joint / "transformer", tmp_path / "twice")
    assert not (tmp_path / "twice").exists()


@pytest.mark.parametrize(
    ("target", "found"), [("nowhere", "a link to nothing"), ("odd", "a link to nothing")]
)
def test_what_cannot_be_copied_is_named(tiny_wan, tmp_path, target, found):
    """A link that leads nowhere, or to itself."""
    base = shutil.copytree(tiny_wan, tmp_path / "base")
    (base / "odd").symlink_to(target)
    with pytest.raises(VideoJamError, match=rf"base/odd: .*found {found}"):
        convert(base, tmp_path / "joint")
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_shards_and_their_index_are_kept(tmp_path):
    base = write_tiny_wan(tmp_path / "base", max_shard_size="20KB")
    out = convert(base, tmp_path / "joint")
    names = [path.name for path in sorted((base / "transformer").iterdir())]
    assert names == [path.name for path in sorted((out / "transformer").iterdir())]
    assert len(names) > 4
    index = json.loads((out / "transformer" / "diffusion_pytorch_model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in weights(out / "transformer").values())
    whole = WanTransformer3DModel.from_pretrained(out / "transformer").state_dict()
    expected = widen_transformer(WanTransformer3DModel.from_pretrained(base / "transformer")).state_dict()
    assert all(torch.equal(whole[key], value) for key, value in expected.items())


@pytest.mark.parametrize("sharded", [False, True])
def test_half_precision_variants_are_converted_under_their_names(tmp_path, sharded):
    base = write_tiny_wan(tmp_path / "base")
    transformer = WanTransformer3DModel.from_pretrained(base / "transformer").to(torch.float16)
    transformer.save_pretrained(
        base / "transformer", variant="fp16", max_shard_size="20KB" if sharded else "10GB"
    )
    out = convert(base, tmp_path / "joint")
    loaded = WanTransformer3DModel.from_pretrained(
        out / "transformer", variant="fp16", torch_dtype=torch.float16
    )
    expected = widen_transformer(transformer).state_dict()
    state = loaded.state_dict()
    assert all(torch.equal(state[key].to(value), value) for key, value in expected.items())
    assert WanTransformer3DModel.from_pretrained(out / "transformer").config.in_channels == 8


def test_linked_folder_is_copied_whole_without_the_bases_fingerprint(tiny_wan, tmp_path):
    """The hub's cache, and folders that share files, are made of links."""
    base = tmp_path / "base"
    base.mkdir()
    for part in tiny_wan.iterdir():
        (base / part.name).symlink_to(part)
    (base / "videojam_verify.safetensors").write_bytes(b"of the base")
    out = convert(base, tmp_path / "joint")
    assert not [path for path in out.rglob("*") if path.is_symlink()]
    assert not (out / "videojam_verify.safetensors").exists()
    assert WanTransformer3DModel.from_pretrained(out / "transformer").config.in_channels == 8


def test_rewritten_file_is_byte_equal_where_nothing_changes(tiny_wan, tmp_path):
    source = tiny_wan / "transformer" / "diffusion_pytorch_model.safetensors"
    rewrite(read_header(source), tmp_path / "copy.safetensors", [], lambda name, tensor: tensor)
    before, after = load_file(source), load_file(tmp_path / "copy.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_joint_folder_loads_in_plain_diffusers(tiny_joints, warm_python):
    """In a process that never imports videojam: transformer, pipeline, and sampling of [x, d]."""
    script = f"""
import sys, torch
from diffusers import WanPipeline, WanTransformer3DModel
folder = {str(tiny_joints["t2v"])!r}
assert WanTransformer3DModel.from_pretrained(folder, subfolder="transformer").config.out_channels == 8
pipe = WanPipeline.from_pretrained(folder)
pipe.set_progress_bar_config(disable=True)
size = dict(num_frames=5, height=32, width=32, num_inference_steps=1, max_sequence_length=8)
assert pipe("a", output_type="latent", **size).frames.shape == (1, 8, 2, 4, 4)
assert not any(name.startswith("videojam") for name in sys.modules)
print("loaded")
"""
    (done,) = warm_python.run(script)
    assert done.output.strip().endswith("loaded"), done.output
