"""Classes that are converted alone: identity 1 on the stock class, through a folder on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import diffusers
import pytest
import torch
from safetensors.torch import save_file

from exactness import same_as_the_base
from videojam.errors import VideoJamError
from videojam.families import FAMILIES, Family, family_of, projections_of
from videojam.families.conversion_only import CONVERSION_ONLY
from videojam.families.refused import REFUSED
from videojam.joint.convert import convert
from videojam.joint.widen import widen_transformer
from videojam.training.new_rate import new_entries

HEADS = {"num_attention_heads": 2, "attention_head_dim": 12, "num_layers": 1}
WAN = {**HEADS, "in_channels": 4, "out_channels": 4, "text_dim": 16, "freq_dim": 16, "ffn_dim": 32}


@dataclass(frozen=True)
class Row:
    """A tiny config, what the network is called with, and its latents' shape with C channels.

    Attributes:
        config: Of the tiny base.
        inputs: Keywords of the call beside latents.
        shape: Of the latents, C where the family's `channel_dim` is.
        blocks: Blocks of C (or fewer) channels of the base's input, x first; those marked get motion behind them.
        out_blocks: Blocks of the prediction.
    """

    config: dict[str, object]
    inputs: dict[str, object] = field(default_factory=dict)
    shape: tuple[int, ...] = (2, 4, 3, 4, 4)
    blocks: tuple[tuple[int, bool], ...] = ((4, True),)
    out_blocks: int = 1


def noise(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(7))


TIME = torch.tensor([300.0, 900.0])
TEXT = {"timestep": TIME, "encoder_hidden_states": noise(2, 5, 16)}
KANDINSKY = {
    "in_visual_dim": 4,
    "out_visual_dim": 4,
    "in_text_dim": 16,
    "in_text_dim2": 16,
    "time_dim": 16,
    "model_dim": 24,
    "ff_dim": 32,
    "num_text_blocks": 1,
    "num_visual_blocks": 1,
    "axes_dims": (4, 4, 4),
}
KANDINSKY_INPUTS = {
    **TEXT,
    "pooled_projections": noise(2, 16),
    "visual_rope_pos": [torch.arange(3), torch.arange(2), torch.arange(2)],
    "text_rope_pos": torch.arange(5),
}
FRAME_TIMES = TIME[:, None].expand(2, 3)
ANYFLOW_INPUTS = {**TEXT, "timestep": FRAME_TIMES, "r_timestep": FRAME_TIMES / 2}
KANDINSKY_AUDIO = {"in_audio_dim": 6, "out_audio_dim": 6}
KANDINSKY6_INPUTS = {**TEXT, "pooled_projections": noise(2, 16)}

ROWS = {
    "SkyReelsV2Transformer3DModel": Row({**WAN, "rope_max_seq_len": 32}, TEXT),
    "ChronoEditTransformer3DModel": Row({**WAN, "rope_max_seq_len": 32}, TEXT),
    "WanVACETransformer3DModel": Row(
        {**WAN, "rope_max_seq_len": 32, "vace_layers": [0], "vace_in_channels": 6},
        {**TEXT, "control_hidden_states": noise(2, 6, 3, 4, 4)},
    ),
    "SanaVideoTransformer3DModel": Row(
        {
            **HEADS,
            "in_channels": 4,
            "out_channels": 4,
            "num_cross_attention_heads": 2,
            "cross_attention_head_dim": 12,
            "cross_attention_dim": 24,
            "caption_channels": 16,
            "sample_size": 4,
            "rope_max_seq_len": 32,
        },
        TEXT,
    ),
    "AllegroTransformer3DModel": Row(
        {**HEADS, "in_channels": 4, "out_channels": 4, "cross_attention_dim": 24, "caption_channels": 16},
        {**TEXT, "image_rotary_emb": "allegro"},
    ),
    "LatteTransformer3DModel": Row(
        {
            **HEADS,
            "in_channels": 4,
            "out_channels": 8,
            "cross_attention_dim": 24,
            "caption_channels": 16,
            "sample_size": 4,
            "patch_size": 2,
            "video_length": 3,
            "norm_type": "ada_norm_single",
            "norm_elementwise_affine": False,
            "num_embeds_ada_norm": 1000,
        },
        TEXT,
        out_blocks=2,
    ),
    "EasyAnimateTransformer3DModel": Row(
        {
            **HEADS,
            "attention_head_dim": 16,
            "in_channels": 4,
            "out_channels": 4,
            "patch_size": 2,
            "mmdit_layers": 1,
            "time_embed_dim": 8,
            "text_embed_dim": 16,
        },
        TEXT,
    ),
    "MotifVideoTransformer3DModel": Row(
        {
            **HEADS,
            "in_channels": 9,
            "out_channels": 4,
            "num_single_layers": 1,
            "text_embed_dim": 16,
            "rope_axes_dim": (4, 4, 4),
        },
        {**TEXT, "encoder_attention_mask": torch.ones(2, 5)},
        blocks=((4, True), (4, False), (1, False)),
    ),
    "Kandinsky5Transformer3DModel": Row(KANDINSKY, KANDINSKY_INPUTS, shape=(2, 3, 4, 4, 4)),
    "Kandinsky5Transformer3DModel visual_cond": Row(
        {**KANDINSKY, "visual_cond": True},
        KANDINSKY_INPUTS,
        shape=(2, 3, 4, 4, 4),
        blocks=((4, True), (4, True), (1, False)),
    ),
    "Kandinsky6Transformer3DModel": Row(
        {**KANDINSKY, **KANDINSKY_AUDIO, "visual_cond": False}, KANDINSKY6_INPUTS, shape=(2, 3, 4, 4, 4)
    ),
    "Kandinsky6Transformer3DModel visual_cond": Row(
        {**KANDINSKY, **KANDINSKY_AUDIO, "visual_cond": True},
        {**KANDINSKY6_INPUTS, "audio_hidden_states": noise(2, 5, 6)},
        shape=(2, 3, 4, 4, 4),
        blocks=((4, True), (4, True), (1, False)),
    ),
    "AnyFlowTransformer3DModel": Row({**WAN, "rope_max_seq_len": 32}, ANYFLOW_INPUTS, shape=(2, 3, 4, 4, 4)),
    "ConsisIDTransformer3DModel": Row(
        {
            **HEADS,
            "attention_head_dim": 16,
            "in_channels": 8,
            "out_channels": 4,
            "time_embed_dim": 8,
            "text_embed_dim": 16,
            "sample_width": 4,
            "sample_height": 4,
            "sample_frames": 9,
            "max_text_seq_length": 5,
        },
        TEXT,
        shape=(2, 3, 4, 4, 4),
        blocks=((4, True), (4, False)),
    ),
    "CosmosTransformer3DModel": Row(
        {
            **HEADS,
            "in_channels": 5,
            "out_channels": 4,
            "text_embed_dim": 16,
            "adaln_lora_dim": 4,
            "max_size": (4, 8, 8),
        },
        {**TEXT, "fps": 24, "padding_mask": torch.ones(1, 1, 4, 4)},
        blocks=((4, True), (1, False)),
    ),
}


def build(name):
    if not hasattr(diffusers, name.split()[0]):
        pytest.skip(f"diffusers {diffusers.__version__} has no {name.split()[0]}")
    torch.manual_seed(0)
    base = getattr(diffusers, name.split()[0])(**ROWS[name].config).eval()
    with torch.no_grad():
        for parameter in base.parameters():  # some classes start with zeros, which would hide an error
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return base


def call(transformer, hidden, inputs):
    inputs = dict(inputs)
    if inputs.get("image_rotary_emb") == "allegro":
        from types import SimpleNamespace

        from diffusers import AllegroPipeline

        stand_in = SimpleNamespace(
            transformer=transformer, vae_scale_factor_spatial=1, vae_scale_factor_temporal=1
        )
        inputs["image_rotary_emb"] = AllegroPipeline._prepare_rotary_positional_embeddings(
            stand_in, len(hidden), 4, 4, hidden.shape[2], torch.device("cpu")
        )
    with torch.no_grad():
        out = transformer(hidden_states=hidden, return_dict=False, **inputs)
    return out if isinstance(out, tuple) else (out,)


def inputs_of(row, dim):
    """Random blocks of a base's input channels, and the same with random motion behind each that is doubled."""

    def block(num_channels, scale=1.0):
        shape = list(row.shape)
        shape[dim] = num_channels
        return scale * noise(*shape)

    narrow = [block(num) for num, _ in row.blocks]
    wide = [
        part
        for x, (num, doubled) in zip(narrow, row.blocks, strict=True)
        for part in ((x, block(num, -3.0)) if doubled else (x,))
    ]
    return narrow, wide


@pytest.mark.parametrize("name", ROWS)
def test_appearance_half_equals_the_base_after_conversion_on_disk(name, tmp_path):
    """Identity 1 for random motion, and what else the network predicts stays too."""
    row, base = ROWS[name], build(name)
    family = projections_of(base)
    base.save_pretrained(tmp_path / "base")
    joint = type(base).from_pretrained(convert(tmp_path / "base", tmp_path / "joint")).eval()
    dim = family.channel_dim

    narrow, wide = inputs_of(row, dim)
    expected, *others = call(base, torch.cat(narrow, dim=dim), row.inputs)
    both, *others_joint = call(joint, torch.cat(wide, dim=dim), row.inputs)
    halves = both.chunk(2 * row.out_blocks, dim=dim)
    assert same_as_the_base(torch.cat(halves[::2], dim=dim), expected)
    assert not any(half.any() for half in halves[1::2])
    assert expected.std() > 1e-3
    for one, other in zip(others, others_joint, strict=True):  # Kandinsky 6's audio
        assert torch.equal(one, other)


TIED = (
    "LatteTransformer3DModel",
    "EasyAnimateTransformer3DModel",
    "Kandinsky5Transformer3DModel visual_cond",
    "Kandinsky6Transformer3DModel visual_cond",
)


@pytest.mark.parametrize("name", ROWS)
def test_a_noise_level_of_motions_own_is_one_channel_behind_it(name):
    """Identity 1 with 2C + 1 channels in; classes that tie channels in and out say so."""
    row, base = ROWS[name], build(name)
    family = projections_of(base).at_noise("own")
    if name in TIED:
        with pytest.raises(VideoJamError, match="ties its channels in and out") as caught:
            widen_transformer(base, noise="own")
        assert "motion.noise: same" in caught.value.fix
        return
    joint, dim = widen_transformer(base, noise="own"), family.channel_dim
    assert family.base_config(dict(joint.config)) == dict(base.config)

    narrow, wide = inputs_of(row, dim)
    wide.insert(2, torch.full_like(wide[0].narrow(dim, 0, 1), 0.7))
    expected, *_ = call(base, torch.cat(narrow, dim=dim), row.inputs)
    both, *_ = call(joint, torch.cat(wide, dim=dim), row.inputs)
    halves = both.chunk(2 * row.out_blocks, dim=dim)
    assert same_as_the_base(torch.cat(halves[::2], dim=dim), expected)
    mask = new_entries(joint, family)[f"{family.input_projection}.weight"]
    num_in = family.num_inputs(dict(base.config))
    num_new = family.num_doubled(dict(base.config)) * family.latent_channels(dict(base.config)) + 1
    assert mask.float().mean().item() == pytest.approx(num_new / (num_in + num_new))


@pytest.mark.parametrize("name", ROWS)
def test_the_joint_config_leads_back_to_the_base(name):
    transformer = build(name)
    family, config = projections_of(transformer), dict(transformer.config)
    assert family.base_config(family.joint_config(config)) == config
    masks = new_entries(widen_transformer(transformer), family)
    shares = [
        mask.float().mean().item() for key, mask in masks.items() if key.startswith(family.output_projection)
    ]
    assert shares == [0.5] * len(shares)
    num_in, num_new = family.num_inputs(config), family.num_doubled(config) * family.latent_channels(config)
    assert masks[f"{family.input_projection}.weight"].float().mean().item() == pytest.approx(
        num_new / (num_in + num_new)
    )


def test_every_class_has_its_row():
    assert {name.split()[0] for name in ROWS} == {family.transformer_class for family in CONVERSION_ONLY}
    assert not any(isinstance(family, Family) for family in CONVERSION_ONLY)


@pytest.mark.parametrize("family", CONVERSION_ONLY, ids=lambda family: family.transformer_class)
def test_more_than_conversion_is_refused_by_name(family):
    with pytest.raises(VideoJamError, match="conversion only") as caught:
        family_of(family.transformer_class)
    assert family.transformer_class in caught.value.found
    assert "adding-a-family" in caught.value.fix


@pytest.mark.parametrize("name", REFUSED)
def test_a_class_with_more_than_two_projections_is_refused_by_what_is_missing(name, tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text(json.dumps({"_class_name": name}))
    save_file({"proj_out.weight": torch.zeros(1)}, tmp_path / "base/diffusion_pytorch_model.safetensors")
    with pytest.raises(VideoJamError) as caught:
        convert(tmp_path / "base", tmp_path / "joint")
    assert f"{name}: {REFUSED[name]}" in caught.value.found
    assert not (tmp_path / "joint").exists()


@pytest.mark.skipif(
    not diffusers.__version__.startswith("0.42."), reason="another diffusers has other classes"
)
def test_every_video_class_of_diffusers_is_known_or_refused():
    known = {name for name in dir(diffusers) if name.endswith("Transformer3DModel")}
    assert known <= FAMILIES.keys() | REFUSED.keys()
    assert all(hasattr(diffusers, name) for name in (*FAMILIES, *REFUSED))
    assert not FAMILIES.keys() & REFUSED.keys()


def test_unknown_classes_are_told_what_is_known():
    with pytest.raises(VideoJamError) as caught:
        projections_of("FluxTransformer2DModel")
    assert all(name in caught.value.expected for name in FAMILIES)
    assert "docs/adding-a-family.md" in caught.value.fix
