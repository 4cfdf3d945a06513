"""One file with the original names: the names that Wan and LTX publish, read back by diffusers bit for bit."""

from __future__ import annotations

import json

import diffusers
import pytest
import torch
from diffusers.loaders import single_file_utils
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_pipelines import write_tiny_wan

from tiny_families import write_tiny_ltx, write_tiny_ltx2
from videojam.errors import VideoJamError
from videojam.joint.convert import convert
from videojam.models.folder import open_folder
from videojam.models.record import load_record
from videojam.models.single_file import check_single_file, read_single_file, write_single_file

WAN_BLOCK = """
modulation norm3.weight norm3.bias ffn.0.weight ffn.0.bias ffn.2.weight ffn.2.bias self_attn.q.weight
self_attn.q.bias self_attn.k.weight self_attn.k.bias self_attn.v.weight self_attn.v.bias self_attn.o.weight
self_attn.o.bias self_attn.norm_q.weight self_attn.norm_k.weight cross_attn.q.weight cross_attn.q.bias
cross_attn.k.weight cross_attn.k.bias cross_attn.v.weight cross_attn.v.bias cross_attn.o.weight
cross_attn.o.bias cross_attn.norm_q.weight cross_attn.norm_k.weight
"""
WAN_REST = """
patch_embedding.weight patch_embedding.bias text_embedding.0.weight text_embedding.0.bias
text_embedding.2.weight text_embedding.2.bias time_embedding.0.weight time_embedding.0.bias
time_embedding.2.weight time_embedding.2.bias time_projection.1.weight time_projection.1.bias head.modulation
head.head.weight head.head.bias
"""
WAN_IMAGE = """
img_emb.proj.0.weight img_emb.proj.0.bias img_emb.proj.1.weight img_emb.proj.1.bias img_emb.proj.3.weight
img_emb.proj.3.bias img_emb.proj.4.weight img_emb.proj.4.bias
"""
WAN_IMAGE_BLOCK = """
k_img.weight k_img.bias v_img.weight v_img.bias norm_k_img.weight
"""
LTX_BLOCK = """
scale_shift_table ff.net.0.proj.weight ff.net.0.proj.bias ff.net.2.weight ff.net.2.bias attn1.to_q.weight
attn1.to_q.bias attn1.to_k.weight attn1.to_k.bias attn1.to_v.weight attn1.to_v.bias attn1.to_out.0.weight
attn1.to_out.0.bias attn1.q_norm.weight attn1.k_norm.weight attn2.to_q.weight attn2.to_q.bias
attn2.to_k.weight attn2.to_k.bias attn2.to_v.weight attn2.to_v.bias attn2.to_out.0.weight attn2.to_out.0.bias
attn2.q_norm.weight attn2.k_norm.weight
"""
LTX_REST = """
patchify_proj.weight patchify_proj.bias proj_out.weight proj_out.bias scale_shift_table
adaln_single.emb.timestep_embedder.linear_1.weight adaln_single.emb.timestep_embedder.linear_1.bias
adaln_single.emb.timestep_embedder.linear_2.weight adaln_single.emb.timestep_embedder.linear_2.bias
adaln_single.linear.weight adaln_single.linear.bias caption_projection.linear_1.weight
caption_projection.linear_1.bias caption_projection.linear_2.weight caption_projection.linear_2.bias
"""


def blocks(stem, names):
    """Names in two blocks."""
    return {f"{stem.format(i)}.{name}" for i in range(2) for name in names.split()}


WAN = set(WAN_REST.split()) | blocks("blocks.{}", WAN_BLOCK)
CLIP = WAN | set(WAN_IMAGE.split()) | blocks("blocks.{}.cross_attn", WAN_IMAGE_BLOCK)
LTX = {
    f"model.diffusion_model.{name}"
    for name in set(LTX_REST.split()) | blocks("transformer_blocks.{}", LTX_BLOCK)
}
BOTH = ("", "audio_")
EMBEDDER = ["emb.timestep_embedder.linear_1", "emb.timestep_embedder.linear_2", "linear"]
TIMES = [
    *(f"{of}adaln_single" for of in BOTH),
    *(
        f"av_ca_{of}_adaln_single"
        for of in ("video_scale_shift", "audio_scale_shift", "a2v_gate", "v2a_gate")
    ),
]
ATTENTIONS = [*(f"{of}attn{i}" for of in BOTH for i in (1, 2)), "audio_to_video_attn", "video_to_audio_attn"]
LAYERS = [
    *(f"{of}{name}" for of in BOTH for name in ("patchify_proj", "proj_out")),
    *(f"{of}caption_projection.linear_{i}" for of in BOTH for i in (1, 2)),
    *(f"{of}.{name}" for of in TIMES for name in EMBEDDER),
    *(
        f"transformer_blocks.{i}.{name}"
        for i in range(1)
        for name in (
            *(f"{of}.{part}" for of in ATTENTIONS for part in ("to_q", "to_k", "to_v", "to_out.0")),
            *(f"{of}ff.net.{part}" for of in BOTH for part in ("0.proj", "2")),
        )
    ),
]
LTX2 = {
    f"model.diffusion_model.{name}"
    for name in (
        *(f"{layer}.{part}" for layer in LAYERS for part in ("weight", "bias")),
        *(f"{of}scale_shift_table" for of in BOTH),
        *(
            f"transformer_blocks.{i}.{name}"
            for i in range(1)
            for name in (
                *(f"{of}.{part}_norm.weight" for of in ATTENTIONS for part in "qk"),
                *(f"{of}scale_shift_table" for of in BOTH),
                *(f"scale_shift_table_a2v_ca_{of}" for of in ("video", "audio")),
            )
        ),
    )
}
KINDS = {
    "wan": (write_tiny_wan, {}, WAN, single_file_utils.convert_wan_transformer_to_diffusers),
    "wan with CLIP": (
        write_tiny_wan,
        {"image": True, "clip": True},
        CLIP,
        single_file_utils.convert_wan_transformer_to_diffusers,
    ),
    "ltx": (write_tiny_ltx, {}, LTX, single_file_utils.convert_ltx_transformer_checkpoint_to_diffusers),
    "ltx-2": (write_tiny_ltx2, {}, LTX2, single_file_utils.convert_ltx2_transformer_to_diffusers),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_names_are_the_published_ones_and_diffusers_reads_every_tensor_back(tmp_path, kind):
    write, how, names, conversion = KINDS[kind]
    joint = convert(write(tmp_path / "base", **how), tmp_path / "joint")
    model = open_folder(joint)
    transformer, file = model.transformers["transformer"], tmp_path / "one.safetensors"
    write_single_file(transformer, file, model.record)
    assert load_file(file).keys() == names
    stored = load_file(joint / "transformer" / "diffusion_pytorch_model.safetensors")
    converted = conversion(load_file(file))
    assert converted.keys() == stored.keys()
    assert all(torch.equal(converted[name], stored[name]) for name in stored)
    loaded = getattr(diffusers, transformer.family.transformer_class).from_single_file(
        str(file), config=str(joint), subfolder="transformer"
    )
    own = loaded.state_dict()
    assert all(torch.equal(own[name], stored[name]) for name in stored)
    said = read_single_file(file)
    assert said.record == load_record(joint)
    assert said.num_channels == model.vae_config.get("z_dim", model.vae_config.get("latent_channels"))


def test_shards_of_bfloat16_become_one_file(tmp_path):
    joint = convert(write_tiny_wan(tmp_path / "base"), tmp_path / "joint")
    module = diffusers.WanTransformer3DModel.from_pretrained(
        joint / "transformer", torch_dtype=torch.bfloat16
    )
    for path in (joint / "transformer").glob("*.safetensors"):
        path.unlink()
    module.save_pretrained(joint / "transformer", max_shard_size="20KB")
    assert len(list((joint / "transformer").glob("*.safetensors"))) > 2
    model = open_folder(joint)
    write_single_file(model.transformers["transformer"], tmp_path / "one.safetensors", model.record)
    assert load_file(tmp_path / "one.safetensors")["blocks.1.ffn.2.weight"].dtype == torch.bfloat16


def test_the_header_says_what_shapes_do_not(tmp_path):
    """ComfyUI takes heads of 128 for Wan, and 128 channels for LTX, unless the header says otherwise."""
    for write, expected in (
        (write_tiny_wan, {"num_heads": 2, "freq_dim": 16}),
        (write_tiny_ltx, {"in_channels": 32}),
    ):
        joint = convert(write(tmp_path / write.__name__), tmp_path / f"joint-{write.__name__}")
        file = tmp_path / "one.safetensors"
        write_single_file(open_folder(joint).transformers["transformer"], file, None)
        with safe_open(file, framework="pt") as stored:
            config = json.loads(stored.metadata()["config"])["transformer"]
        assert expected.items() <= config.items()
        assert read_single_file(file).record is None


def test_a_file_that_does_not_hold_the_same_bits_is_refused(tmp_path, tiny_joints):
    model = open_folder(tiny_joints["t2v"])
    transformer, file = model.transformers["transformer"], tmp_path / "one.safetensors"
    write_single_file(transformer, file, model.record)
    tensors = load_file(file)
    for change in (
        {"head.head.bias": -tensors["head.head.bias"]},  # −0.0 and 0.0 are equal, and their bits are not
        {"head.head.bias": tensors["head.head.bias"].half()},
        {"more": torch.zeros(1)},
    ):
        save_file(tensors | change, file)
        with pytest.raises(VideoJamError, match="bit for bit"):
            check_single_file(transformer, file)
    save_file({name: tensor for name, tensor in tensors.items() if name != "head.head.bias"}, file)
    with pytest.raises(VideoJamError, match=r"proj_out\.bias bit for bit"):
        check_single_file(transformer, file)


def test_only_variants_and_damaged_records_are_refused(tmp_path):
    joint = convert(write_tiny_wan(tmp_path / "base", variant="fp16"), tmp_path / "joint")
    model = open_folder(joint)
    with pytest.raises(VideoJamError, match=r"diffusion_pytorch_model\.fp16"):
        write_single_file(model.transformers["transformer"], tmp_path / "one.safetensors", model.record)
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors", metadata={"videojam": '{"record": 3}'})
    with pytest.raises(VideoJamError, match="record = 3"):
        read_single_file(tmp_path / "other.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(VideoJamError, match="a header without its words"):
        read_single_file(tmp_path / "other.safetensors")
