"""Widening keeps the base exact, and puts the new rows where the class reads them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_pipelines import tiny_transformer

from exactness import same_as_the_base
from videojam.errors import VideoJamError
from videojam.families import family_of
from videojam.joint.latents import join, null_motion, reject_non_finite, split
from videojam.joint.widen import widen_input, widen_output, widen_transformer

CASES = {
    "t2v": (4, (1, 2, 2), False),
    "t2v-patch-1": (4, (1, 1, 1), False),
    "i2v": (12, (1, 2, 2), False),
    "per-token": (4, (1, 2, 2), True),
}


def inputs(in_channels):
    generator = torch.Generator().manual_seed(0)

    def randn(*shape):
        return torch.randn(shape, generator=generator)

    x, d, sigma = randn(2, 4, 3, 4, 6), randn(2, 4, 3, 4, 6), torch.tensor([0.3, 0.9])
    cond = {"encoder_hidden_states": randn(2, 5, 16)}
    if in_channels > 4:
        cond["condition"] = randn(2, in_channels - 4, 3, 4, 6)
    return x, d, sigma, cond


@pytest.mark.parametrize("init", ["zero", "copy"])
@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_appearance_half_equals_the_base_exactly(case, init):
    """Identity 1, for d = 0 and for large random d."""
    in_channels, patch, per_token = CASES[case]
    torch.manual_seed(0)
    base = tiny_transformer(in_channels, patch)
    joint = widen_transformer(base, init)
    family = replace(family_of(base), per_token_timestep=per_token)
    x, d, sigma, cond = inputs(in_channels)
    expected = family.denoise(base, x, sigma, cond)
    for motion in (torch.zeros_like(d), 100 * d):
        u_x, u_d = split(family.denoise(joint, join(x, motion), sigma, cond))
        assert same_as_the_base(u_x, expected)
        assert same_as_the_base(u_d, expected) if init == "copy" else not u_d.any()
    assert type(joint) is type(base)
    assert (joint.config.in_channels, joint.config.out_channels) == (in_channels + 4, 8)
    assert base.config.in_channels == in_channels


@torch.no_grad()
def test_appended_rows_are_garbage_on_an_interleaved_class():
    """The layouts are told apart: c_outer rows on Wan, which is c_inner, destroy the prediction."""
    torch.manual_seed(0)
    base = tiny_transformer()
    wrong = widen_transformer(base)
    wrong.proj_out.weight.copy_(widen_output(base.proj_out.weight, 4, "c_outer"))
    wrong.proj_out.bias.copy_(widen_output(base.proj_out.bias, 4, "c_outer"))
    x, d, sigma, cond = inputs(4)
    family = family_of(base)
    u_x, _ = split(family.denoise(wrong, join(x, d), sigma, cond))
    assert (u_x - family.denoise(base, x, sigma, cond)).abs().max() > 0.5


def test_rows_of_both_layouts_by_their_formulas():
    rows = torch.arange(1, 7.0)  # P = 2 positions, C = 3 channels
    inner = widen_output(rows, 3, "c_inner", "copy")
    for p in range(2):
        for k in range(3):
            assert inner[p * 6 + k] == rows[p * 3 + k]
            assert inner[p * 6 + 3 + k] == rows[p * 3 + k]
    outer = widen_output(rows, 3, "c_outer")
    assert outer.tolist() == [1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0]
    assert widen_output(rows, 3, "c_inner").tolist() == [1, 2, 3, 0, 0, 0, 4, 5, 6, 0, 0, 0]


def test_new_input_columns_sit_right_after_x():
    weight = torch.arange(1.0, 6).view(1, 5, 1, 1, 1)  # C = 2, then three channels of an image condition
    assert widen_input(weight, 2).flatten().tolist() == [1, 2, 0, 0, 3, 4, 5]


def test_new_input_columns_of_linear_layers_follow_their_layout():
    weight = torch.arange(1.0, 7)[None]  # C = 2 and a mask, P = 2 positions
    outer = widen_input(weight, 2, "c_outer", num_positions=2)
    assert outer.flatten().tolist() == [1, 2, 3, 4, 0, 0, 0, 0, 5, 6]
    inner = widen_input(weight, 2, "c_inner", num_positions=2)
    assert inner.flatten().tolist() == [1, 2, 0, 0, 3, 4, 5, 0, 0, 6]
    assert torch.equal(widen_input(weight.view(1, 3, 1, 2), 2), outer.view(1, 5, 1, 2))


def test_a_mirrored_condition_gets_columns_too():
    weight = torch.arange(1.0, 6).view(1, 5, 1, 1, 1)  # [x, condition, mask] with C = 2
    assert widen_input(weight, 2, num_blocks=2).flatten().tolist() == [1, 2, 0, 0, 3, 4, 0, 0, 5]


def test_widened_transformer_shares_no_memory_and_keeps_dtypes():
    base = tiny_transformer().to(torch.bfloat16)
    base.scale_shift_table.data = base.scale_shift_table.data.float()
    joint = widen_transformer(base)
    assert {n: p.dtype for n, p in joint.named_parameters()} == {
        n: p.dtype for n, p in base.named_parameters()
    }
    with torch.no_grad():
        for parameter in joint.parameters():
            parameter.fill_(3.0)
    assert all((parameter != 3.0).any() for parameter in base.parameters())


@torch.no_grad()
def test_non_finite_motion_leaks_through_zero_weights_so_it_is_refused():
    """Identity 6."""
    torch.manual_seed(0)
    joint = widen_transformer(tiny_transformer())
    x, d, sigma, cond = inputs(4)
    d[0, 0, 0, 0, 0] = float("nan")
    u_x, _ = split(family_of(joint).denoise(joint, join(x, d), sigma, cond))
    assert u_x.isnan().any()
    with pytest.raises(VideoJamError, match="1 of 576") as caught:
        reject_non_finite(d, "motion latent", "clip 3")
    assert caught.value.where == "clip 3"
    reject_non_finite(x, "appearance latent", "clip 3")


def test_null_motion_zeroes_the_motion_channels_alone():
    hidden = torch.ones(1, 4 + 4 + 8, 1, 2, 2)
    nulled = null_motion(hidden, num_channels=4)
    assert nulled[0, :, 0, 0, 0].tolist() == [1] * 4 + [0] * 4 + [1] * 8
    assert (hidden == 1).all()
    x, d = split(null_motion(join(torch.ones(1, 2, 1, 1, 1), torch.ones(1, 2, 1, 1, 1))))
    assert (x == 1).all()
    assert (d == 0).all()
