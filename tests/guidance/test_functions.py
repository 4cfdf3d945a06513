"""The formulas against the printed equations, in float64."""

from __future__ import annotations

import pytest
import torch

from videojam.guidance.rules.cfg import cfg
from videojam.guidance.rules.inner import inner_guidance, motion_guided
from videojam.guidance.rules.ip2p import ip2p


@pytest.fixture
def predictions():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 8, 3, 4, 4, generator=generator, dtype=torch.float64) for _ in range(3)]


@pytest.mark.parametrize(("w_text", "w_motion"), [(5.0, 3.0), (0.0, 3.0), (5.0, 0.0), (1.5, 7.0)])
def test_equation_8_as_printed(predictions, w_text, w_motion):
    u, u_null_text, u_null_motion = predictions
    printed = (1 + w_text + w_motion) * u - w_text * u_null_text - w_motion * u_null_motion
    assert torch.allclose(inner_guidance(*predictions, w_text, w_motion), printed, atol=1e-12)
    through_cfg = cfg(motion_guided(u, u_null_motion, 1 + w_text, w_motion), u_null_text, w_text)
    assert torch.allclose(through_cfg, printed, atol=1e-12)


def test_equal_to_diffusers_cfg_bit_for_bit_where_motion_has_no_effect():
    u, u_null_text = torch.randn(2, 2, 100, generator=torch.Generator().manual_seed(0))
    diffusers = u_null_text + 6.0 * (u - u_null_text)
    assert torch.equal(inner_guidance(u, u_null_text, u, 5.0, 3.0), diffusers)
    assert torch.equal(cfg(motion_guided(u, u, 6.0, 3.0), u_null_text, 5.0), diffusers)


def test_guidance_is_free_of_sign(predictions):
    minus = [-u for u in predictions]
    assert torch.equal(inner_guidance(*minus, 5.0, 3.0), -inner_guidance(*predictions, 5.0, 3.0))


def test_ip2p_by_hand():
    u, u_null_text, u_null_both = (torch.tensor([value]) for value in (10.0, 4.0, 1.0))
    assert ip2p(u, u_null_text, u_null_both, 5.0, 3.0).item() == 1 + 3 * 3 + 5 * 6
    assert ip2p(u, u_null_text, u_null_both, 1.0, 1.0).item() == 10.0
