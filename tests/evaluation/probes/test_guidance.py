"""The guidance probe on models whose best scale is known, and what it advises."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from videojam import cli
from videojam.data.config import WorldSource
from videojam.errors import VideoJamError
from videojam.evaluation.probes.direction import Advice, advice, advised, best_scale, window_of
from videojam.evaluation.probes.forward import ForwardConfig
from videojam.evaluation.probes.guidance import guidance_probe
from videojam.evaluation.probes.keep_advice import folder_to_keep
from videojam.evaluation.probes.plot import plot_probes
from videojam.families.wan import WanFamily
from videojam.joint.batch import Batch
from videojam.models.load import load_model
from videojam.models.record import load_defaults
from videojam.objective.denoiser import Denoiser
from videojam.objective.draws import Draws
from videojam.objective.pushes import condition_products
from videojam.world import WorldConfig

WORLD = WorldSource(num_clips=3, seed=3, world=WorldConfig(num_frames=9, pixel_px=4))
SHORT = ForwardConfig(times=(0.3, 0.8))
SIGMA = 0.5


class Known(WanFamily):
    """Predicts s·x of x without noise: s is −0.5, +a where motion is read, +b where the text is not null."""

    def denoise(self, transformer, xd_sigma, sigma, cond):
        a, b = transformer.pushes
        x, d = (half / (1 - SIGMA) for half in xd_sigma.chunk(2, dim=1))
        told = cond["encoder_hidden_states"].mean(dim=(1, 2)).reshape(-1, 1, 1, 1, 1)
        u = -0.5 * x + a * d + b * told * x
        return torch.cat([u, d], dim=1)


@pytest.mark.parametrize(
    ("a", "b", "of_motion", "of_text"),
    [
        (-0.25, -0.25, 0.0, 0.0),  # s = −1 is the target: guidance can only harm
        (-0.1, -0.1, 3.0, 3.0),  # s = −0.7 lacks −0.3: three pushes of −0.1
        (-1.0, 0.5, 0.0, 0.0),
        (-1.0, -0.5, -1.0, -2.0),  # s = −2 lacks +1: one push back of −1, two of −0.5
    ],
)
def test_w_star_of_a_model_whose_lack_is_known(tiny_wan, a, b, of_motion, of_text):
    """With s = −0.5 + a + b the target is −x, the lack is −(1 + s)·x and the pushes are a·x and b·x."""
    model = load_model(tiny_wan)
    stock, transformer = model.family, model.pipeline.transformer
    transformer.pushes = (a, b)
    family = Known(**{name: getattr(stock, name) for name in stock.__dataclass_fields__})
    x = torch.randn(4, 4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    text = {"encoder_hidden_states": torch.ones(4, 5, 6)}
    zeros, never = torch.zeros_like(x), torch.zeros(4, dtype=torch.bool)
    draws = Draws(torch.full((4,), SIGMA), zeros, zeros, never, never, torch.full((4,), SIGMA))
    null = {"encoder_hidden_states": torch.zeros(1, 5, 6)}
    found = condition_products(Denoiser(transformer, family, True, null), Batch(x, x, text), draws)
    for name, push, expected in (("motion", a, of_motion), ("text", b, of_text)):
        part, whole = (values.double().numpy() for values in found[name])
        squares = x.square().flatten(1).mean(dim=1).numpy()
        np.testing.assert_allclose(whole, push**2 * squares, rtol=1e-5)
        scale = best_scale(part, whole)
        assert scale["mean"] == pytest.approx(expected, abs=1e-5)
        assert scale["low"] == pytest.approx(scale["high"], abs=1e-5)  # every clip has the same w*


def test_the_push_is_what_the_loss_with_null_motion_is_more_by(trained_joint, tmp_path):
    """|r + g|² − |r|² = 2⟨r, g⟩ + ⟨g, g⟩, on a real network."""
    from videojam.evaluation.probes.permutation import permutation_probe

    result = guidance_probe(trained_joint, WORLD, tmp_path / "a.json", SHORT)
    fields = {name: getattr(SHORT, name) for name in ForwardConfig.model_fields}
    losses = permutation_probe(trained_joint, WORLD, tmp_path / "b.json", ForwardConfig(**fields))
    for row, other in zip(result["clips"], losses["clips"], strict=True):
        part, whole = (np.array(row["products"]["motion"][name]) for name in ("lack_push", "push_push"))
        without, with_motion = (
            np.array(other["losses"][kind]["ordered"]) for kind in ("appearance_null_motion", "appearance")
        )
        np.testing.assert_allclose(2 * part + whole, without - with_motion, atol=1e-5)
    assert [(line["condition"], line["t"]) for line in result["summary"]] == [
        (name, t) for name in ("text", "motion") for t in (0.3, 0.8)
    ]
    part, whole = (
        sum(row["products"]["motion"][name][1] for row in result["clips"])
        for name in ("lack_push", "push_push")
    )
    last = result["summary"][-1]["w_star"]
    assert last["mean"] == pytest.approx(part / whole)
    assert last["low"] <= last["mean"] <= last["high"]
    assert json.loads((tmp_path / "a.json").read_text()) == result


def test_batches_change_only_rounding(trained_joint, tmp_path):
    one, many = (
        guidance_probe(
            trained_joint, WORLD, tmp_path / f"{n}.json", SHORT.model_copy(update={"batch_size": n})
        )
        for n in (1, 3)
    )
    for a, b in zip(one["summary"], many["summary"], strict=True):
        assert a["w_star"]["mean"] == pytest.approx(b["w_star"]["mean"], rel=1e-3, abs=1e-5)


def test_motion_that_nothing_reads_has_no_scale_and_a_base_has_no_motion(tiny_wan, tiny_joints, tmp_path):
    runner = CliRunner()
    small = ["--frames", "9", "--height", "32", "--width", "32", "--t", "0.5"]
    for model, of_motion, words in (
        (tiny_joints["t2v"], 1, "Motion changes no prediction"),
        (tiny_wan, 0, "no motion half"),
    ):
        out = tmp_path / f"{of_motion}.json"
        mine = shutil.copytree(model, tmp_path / f"model-{of_motion}")
        command = ["probe", "guidance", str(mine), "world:2", *small, "--out", str(out), "--write-defaults"]
        done = runner.invoke(cli.app, command, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        kept = load_defaults(mine)
        assert (kept.w_motion, kept.window) == ((0.0, None) if of_motion else (None, None))
        assert kept.guidance_from.startswith("videojam probe guidance on world:2, 20")
        lines = done.stdout.splitlines()
        assert len(lines) == 1 + of_motion + 2
        assert words in lines[-2]
        assert lines[-1] == str(out)
        assert (tmp_path / f"{of_motion}.png").read_bytes()[:4] == b"\x89PNG"
        found = [line["w_star"]["mean"] for line in json.loads(out.read_text())["summary"]]
        assert found[0] is not None
        assert found[1:] == [None] * of_motion
    drawn = plot_probes([tmp_path / "0.json", tmp_path / "1.json"], tmp_path / "both.svg").read_text()
    assert drawn.count('<g id="axes_') == 2


def line(t: float, low: float, high: float) -> dict:
    return {
        "condition": "motion",
        "t": t,
        "w_star": {"mean": (low + high) / 2, "low": low, "high": high, "n": 9},
    }


@pytest.mark.parametrize(
    ("ends", "window", "words"),
    [
        ([(-0.1, 0.1)] * 3, (0.0, 1.0), "neither away from the data nor clearly towards it"),
        ([(0.1, 0.3), (0, 0.1), (-0.1, 0)], (0.0, 1.0), "towards the data (w* up to 0.20)"),
        ([(-0.3, -0.2), (-0.1, 0), (-0.1, 0)], (0.2, 1.0), "away from the data at t = 0.1"),
        ([(-0.1, 0.1), (-0.1, 0), (-0.6, -0.4)], (0.0, 0.6), "--window t:0-0.6"),
        ([(-0.1, 0.1), (-0.2, -0.1), (0, 0.1)], (0.0, 0.2), "away from the data at t = 0.3"),
        ([(-0.6, -0.4)] * 3, None, "use --w-motion 0"),
    ],
)
def test_advice(ends, window, words):
    """Times 0.1, 0.3 and 0.9; an interval wholly below −0.05 points away; windows end half-way between times."""
    lines = [line(t, *end) for t, end in zip((0.1, 0.3, 0.9), ends, strict=True)]
    assert window_of(lines) == window
    assert words in advice(lines)


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([(-0.1, 0.1)] * 3, Advice(None, 1.0, "t:0-1")),
        ([(0.1, 0.3), (0, 0.1), (-0.1, 0)], Advice(None, 3.0, "t:0-1")),
        ([(-0.1, 0.1), (-0.1, 0), (-0.6, -0.4)], Advice(None, 1.0, "t:0-0.6")),
        ([(-0.1, 0), (-0.6, -0.4), (0.1, 0.2)], Advice(None, 1.0, "t:0-0.2")),  # towards it only outside
        ([(-0.6, -0.4)] * 3, Advice(None, 0.0, None)),
    ],
)
def test_what_is_written_of_an_advice(ends, expected):
    """3 where some t of the window is clearly towards the data, 1 where none is; w1 stays while text does no harm."""
    motion = [line(t, *end) for t, end in zip((0.1, 0.3, 0.9), ends, strict=True)]
    text = [{**line(0.5, -0.2, 0.1), "condition": "text"}]
    assert advised(text + motion) == expected
    away = [{**line(0.5, -0.9, -0.8), "condition": "text"}]
    assert advised(away + motion) == expected._replace(w_text=0.0)
    assert advised(text) == Advice(None, None, None)


@pytest.mark.parametrize("model", ["tiny:videojam", "owner/name"])
def test_defaults_of_a_model_that_is_not_the_users_are_not_written(model):
    command = ["probe", "guidance", model, "world:2", "--write-defaults", "--device", "cpu"]
    refused = CliRunner().invoke(cli.app, command).exception
    assert refused.fix == f"Copy it first: videojam export {model} --out DIR"


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(VideoJamError, match=r"videojam_sampling\.json: .*Permission denied"):
        folder_to_keep(str(tmp_path))


def test_one_clip_has_a_scale_and_no_interval():
    assert best_scale(np.array([1.0]), np.array([4.0])) == {"mean": 0.25, "low": None, "high": None, "n": 1}
    zero = best_scale(np.zeros(3), np.zeros(3))
    assert zero == {"mean": None, "low": None, "high": None, "n": 3}
