"""The study's stages, on a world and a model so small that a step takes milliseconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from studies.premise import faint
from studies.premise.arm import Arm
from studies.premise.config import ArmConfig, ModelConfig, StudyConfig, TrainConfig
from studies.premise.heldout import heldout_losses, make_heldout
from studies.premise.model import make_base, predict
from studies.premise.muon import StackedMuon
from studies.premise.rules import Rule, Velocity
from studies.premise.run import Run
from studies.premise.sample import coherence, sample
from studies.premise.testbed import Bed, make_testbed
from studies.premise.train import Plan, _passes, rate_at, train_arms
from videojam.joint.widen import widen_transformer
from videojam.world import WorldConfig, draw_clips, to_levels

CONFIG = StudyConfig(
    world=WorldConfig(size_px=4, num_frames=3, speeds=(1,)),
    model=ModelConfig(num_heads=2, head_dim=12, num_layers=1),
    train=TrainConfig(batch_size=4, warmup_steps=2),
)


@pytest.fixture(scope="module")
def bed() -> Bed:
    return make_testbed(CONFIG, torch.device("cpu"))


def trained_a_little(bed: Bed, kind: str, num_steps: int = 3) -> Arm:
    model = make_base(CONFIG.model, 0)
    joint = widen_transformer(model) if kind == "joint" else model
    arm = Arm(ArmConfig.model_validate({"name": kind, "kind": kind}), bed, joint)
    for step in range(num_steps):
        arm.set_step(step, 1e-2)
        arm.step()
    return arm


def test_stacked_muon_is_muon() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(8, 8), (8, 24), (24, 8), (8, 8)]
    start = [torch.randn(shape, generator=generator) for shape in shapes]
    ours, theirs = ([torch.nn.Parameter(p.clone()) for p in start] for _ in range(2))
    stock = torch.optim.Muon(theirs, lr=0.1, weight_decay=0, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    stacked = StackedMuon(ours, torch.tensor(0.1))
    for _ in range(3):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape, generator=generator)
            b.grad = a.grad.clone()
        stacked.step()
        stock.step()
    for a, b, first in zip(ours, theirs, start, strict=True):
        # the stock optimiser iterates in bfloat16, of 8 bits
        assert (a - b).norm() < 0.03 * (b - first).norm()


def test_a_resumed_run_ends_in_the_same_bits(bed: Bed, tmp_path: Path) -> None:
    data = make_heldout(bed, 4)

    def run(folder: Path, stops: tuple[int, ...]) -> dict[str, torch.Tensor]:
        for stop in stops:
            arm = Arm(ArmConfig(name="joint"), bed, widen_transformer(make_base(CONFIG.model, 0)))
            train_arms([arm], folder, Plan(5, stop, 1, (), 4, decays=False, log=lambda _: None), data, False)
        return {name: value.clone() for name, value in arm.state() if name != "sums"}

    straight, resumed = run(tmp_path / "a", (6,)), run(tmp_path / "b", (2, 6))
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)


def test_mean_losses_of_a_resumed_run_are_those_of_an_unbroken_one(bed: Bed) -> None:
    unbroken, killed, resumed = (trained_a_little(bed, "plain", num_steps=n) for n in (4, 2, 0))
    resumed.load_state(dict(killed.state()))
    for step in (2, 3):
        resumed.set_step(step, 1e-2)
        resumed.step()
    assert resumed.mean_losses() == unbroken.mean_losses()
    assert set(unbroken.mean_losses().values()) == {0.0}  # nothing since the last call


@pytest.mark.parametrize("first", [0, 150, 250])
def test_points_of_a_curve_are_where_they_are_without_a_stop(first: int) -> None:
    measured, points = first, []
    for step in range(first + 50, 1001, 50):
        if _passes(step, measured, 1000, 5):
            measured = step
            points.append(step)
    assert points == [step for step in (200, 400, 600, 800, 1000) if step > first]


def test_a_joint_model_starts_as_its_base_and_sees_the_control_s_draws(bed: Bed) -> None:
    base = make_base(CONFIG.model, 0)
    # at zero the output projection would make every model alike
    torch.nn.init.normal_(base.proj_out.weight, generator=torch.Generator().manual_seed(0))
    models = {"control": base, "joint": widen_transformer(base), "own": widen_transformer(base, noise="own")}
    losses = []
    for name, model in models.items():
        arm = Arm(ArmConfig(name=name), bed, model)
        arm.set_step(7, 1e-3)
        losses.append(arm.losses()[0])
    assert losses[0] == losses[1] == losses[2]


def test_noise_of_d_s_own_is_told_to_the_model_and_null_motion_tells_nothing(bed: Bed) -> None:
    model = widen_transformer(make_base(CONFIG.model, 0), noise="own")
    seen: dict[str, torch.Tensor] = {}
    model.register_forward_pre_hook(
        lambda _, args, kwargs: seen.update(z=args[0], sigma=kwargs["timestep"] / 1000), with_kwargs=True
    )
    num = 256
    config = CONFIG.model_copy(update={"train": TrainConfig(batch_size=num, motion_dropout=0.5)})
    arm = Arm(ArmConfig(name="own"), make_testbed(config, torch.device("cpu")), model)
    arm.set_step(0, 1e-3)
    arm.losses()
    d, level = seen["z"][:, 3:6], seen["z"][:, 6].flatten(1)
    t_d = level[:, 0]
    assert torch.equal(level, t_d[:, None].expand_as(level))
    null = t_d == 0
    assert torch.equal(null, (d == 0).flatten(1).all(1))
    assert 0.4 < float(null.float().mean()) < 0.6
    assert abs(float(t_d[~null].mean()) - 0.5) < 0.1
    assert abs(float(torch.corrcoef(torch.stack([t_d, seen["sigma"]])[:, ~null])[0, 1])) < 0.3
    # most places are black: the median distance from their middle is 0.67 (1 − t_d)
    flat = d[~null].flatten(1)
    spread = (flat - flat.median(1, keepdim=True).values).abs().median(1).values
    assert float(torch.corrcoef(torch.stack([spread, t_d[~null]]))[0, 1]) < -0.8


class PointMass(torch.nn.Module):
    """The ideal model of a world whose only clip is x = d = 0: its velocity is noise, latents over σ."""

    config = SimpleNamespace(in_channels=7, out_channels=6)

    def forward(self, latents: torch.Tensor, timestep: torch.Tensor, **_: object) -> tuple[torch.Tensor]:
        sigma, sigma_d = timestep[:, None, None, None, None] / 1000, (1 - latents[:, 6:]).clamp_min(1e-6)
        return (torch.cat([latents[:, :3] / sigma, latents[:, 3:6] / sigma_d], dim=1),)


@pytest.mark.parametrize("lead", [1.0, 2.0, 5.0, 10.0])
def test_each_half_ends_at_its_data_whatever_the_lead(bed: Bed, lead: float) -> None:
    sampled = sample(bed, PointMass(), Rule(w_motion=2.0, lead=lead), 2, 0)
    assert sampled.motion is not None
    assert (sampled.video == 128).all()
    assert (sampled.motion == 128).all()


def test_a_lead_is_d_s_share_of_the_way_and_needs_noise_of_its_own(bed: Bed) -> None:
    rule = Rule(lead=2.0)
    assert [rule.motion_time(t) for t in (0, 0.5, 1)] == [0, 0.75, 1]
    with pytest.raises(ValueError, match="cannot lead"):
        sample(bed, widen_transformer(make_base(CONFIG.model, 0)), rule, 1, 0)


def test_a_gain_multiplies_d_in_training_and_is_taken_out_of_its_pictures(bed: Bed) -> None:
    generator, same = (torch.Generator().manual_seed(0) for _ in range(2))
    (x, d), (same_x, tripled) = (
        b.latents(b.clips(4, g)) for b, g in [(bed, generator), (bed.with_gain(3 * bed.config.gain), same)]
    )
    assert torch.equal(x, same_x)
    torch.testing.assert_close(tripled, 3 * d)
    arm = Arm(
        ArmConfig(name="gain3", gain=3.0), bed, widen_transformer(make_base(CONFIG.model, 0), noise="own")
    )
    sampled = sample(arm.bed, arm.average, Rule(oracle=True, lead=5.0), 8, 0)
    assert coherence(arm.bed, sampled)["motion_lawful"].all()


def test_the_rate_rises_stays_and_falls_to_zero() -> None:
    train = TrainConfig(rate=1.0, warmup_steps=10, decay_share=0.5)
    assert [rate_at(train, step, 100) for step in (0, 9, 50, 75, 99)] == pytest.approx([0.1, 1, 1, 0.5, 0.02])


def test_inner_guidance_is_eq_8(bed: Bed) -> None:
    model = trained_a_little(bed, "joint").average
    latents = torch.randn(2, 6, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    text, null, sigma = bed.texts[[0, 1]], bed.texts[-1].expand(2, -1, -1), torch.full((2,), 0.6)
    blind = torch.cat([latents[:, :3], torch.zeros_like(latents[:, 3:])], dim=1)
    with torch.no_grad():
        u, no_text, no_motion = (
            predict(model, x, sigma, y) for x, y in [(latents, text), (latents, null), (blind, text)]
        )
        guided = Velocity(model, Rule(w_text=1.0, w_motion=3.0), text, bed.texts[-1], None)(latents, 0.4, 0)
    torch.testing.assert_close(guided, 5 * u - no_text - 3 * no_motion, atol=1e-4, rtol=1e-4)


def test_motion_guidance_cancels_on_a_model_that_ignores_motion(bed: Bed) -> None:
    joint = widen_transformer(make_base(CONFIG.model, 0))
    plain, guided = (sample(bed, joint, rule, 4, 0) for rule in (Rule(), Rule(w_motion=3.0)))
    assert torch.equal(plain.video, guided.video)


def test_heldout_losses_of_a_model_that_predicts_zero_are_the_target_s_power(bed: Bed) -> None:
    data = make_heldout(bed, 64)
    losses = heldout_losses(make_base(CONFIG.model, 0).eval(), data)
    power = float((data.eps_x - data.x).square().mean())
    assert losses["x"] == pytest.approx([power] * 9, rel=1e-5)
    assert losses["permuted"] == pytest.approx([1] * 9, rel=0.02)
    share = float((data.eps_x - data.x).square()[~data.moving].sum()) / (power * data.x.numel())
    assert losses["static_share"] == pytest.approx([share] * 9, rel=1e-5)


def test_true_motion_counts_as_lawful(bed: Bed) -> None:
    model = trained_a_little(bed, "joint").average
    assert coherence(bed, sample(bed, model, Rule(oracle=True), 8, 0))["motion_lawful"].all()


def test_kept_clips_are_judged_again_however_faint_their_mover_is(tmp_path: Path, monkeypatch) -> None:
    run = Run(tmp_path, StudyConfig())
    world = run.config.world
    pale = world.model_copy(update={"offset": 0.7, "mover_texture": 0.0})
    drawn = draw_clips(pale, run.bed.scenes, 8, torch.Generator().manual_seed(3))
    kept = {"plain/video": to_levels(drawn.x), "plain/caption": drawn.caption}
    save_file(kept, tmp_path / "control.clips.safetensors")
    to = tmp_path / "faint.json"
    words = ["--out", str(tmp_path), "--files", "control.clips.safetensors", "--to", str(to)]
    monkeypatch.setattr(sys, "argv", ["faint", *words])
    monkeypatch.setattr(faint, "NUM_STILL", 8)
    faint.main()
    still, line = json.loads(to.read_text())
    assert (still["clips"], still["coherent"]["mean"]) == ("still", 0)
    assert line["clips"] == "control plain"
    assert (line["coherent"]["mean"], line["however_faint"]["mean"]) == (0, 100)


def test_every_stage_runs_and_says_what_it_did(tmp_path: Path) -> None:
    out, back = tmp_path / "run", tmp_path / "back"
    small = ["world.size_px=4", "world.num_frames=3", "world.speeds=[1]", "train.batch_size=2"]
    small += ["model.num_layers=1", "model.num_heads=1", "model.head_dim=12"]
    command = [sys.executable, "-m", "studies.premise.call", "--out", str(out), "--back", str(back)]
    command += ["--set", *small, "--base-steps", "3", "--arm-steps", "3", "--clips", "4", "--held-out", "4"]
    command += ["--arms", "control", "joint", "own", "gain3"]
    done = subprocess.run([sys.executable, "-c", BLOCKED, *command[3:]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "joint.base.s1 w2=2: coherent" in done.stdout
    assert "own.base.s1 w1=3_w2=2_lead10: coherent" in done.stdout
    assert "gain3.base.s1 w2=2: coherent" in done.stdout
    assert "w1=1: coherent" in done.stdout.split("control.base.s1 plain: coherent")[1].splitlines()[1]
    names = {file.name for file in back.iterdir()}
    assert {
        "base.safetensors",
        "joint.base.s1.safetensors",
        "results.tar",
        "clips.tar.gz",
        "log.txt",
    } <= names
    assert len(names) <= 8


BLOCKED = """
import importlib.util, runpy, sys
BLOCK = ("av", "cv2", "scipy")
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCK:
            raise ModuleNotFoundError(f"blocked: {name}")
stock = importlib.util.find_spec
importlib.util.find_spec = lambda n, package=None: None if n.split(".")[0] in BLOCK else stock(n, package)
sys.meta_path.insert(0, Blocker())
import studies.premise.sample
studies.premise.sample.NUM_STEPS = 2
sys.argv = ["call", *sys.argv[1:]]
runpy.run_module("studies.premise.call", run_name="__main__")
"""
