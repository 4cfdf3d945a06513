"""The study's stages, on a world and a model so small that a step takes milliseconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from studies.premise.arm import Arm
from studies.premise.config import ArmConfig, ModelConfig, StudyConfig, TrainConfig
from studies.premise.heldout import heldout_losses, make_heldout
from studies.premise.model import make_base, predict
from studies.premise.muon import StackedMuon
from studies.premise.rules import Rule, Velocity
from studies.premise.sample import sample
from studies.premise.testbed import Bed, make_testbed
from studies.premise.train import Plan, rate_at, train_arms
from videojam.joint.widen import widen_transformer
from videojam.world.grid import GridConfig

CONFIG = StudyConfig(
    world=GridConfig(size_px=4, num_frames=3, speeds=(1,)),
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


def test_a_joint_model_starts_as_its_base_and_sees_the_control_s_draws(bed: Bed) -> None:
    base = make_base(CONFIG.model, 0)
    control, joint = (
        Arm(ArmConfig(name=n), bed, m) for n, m in [("a", base), ("b", widen_transformer(base))]
    )
    for arm in (control, joint):
        arm.set_step(7, 1e-3)
    assert control.losses()[0] == joint.losses()[0]


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
    from studies.premise.sample import coherence

    assert coherence(bed, sample(bed, model, Rule(oracle=True), 8, 0))["motion_lawful"].all()


def test_every_stage_runs_and_says_what_it_did(tmp_path: Path) -> None:
    out, back = tmp_path / "run", tmp_path / "back"
    small = ["world.size_px=4", "world.num_frames=3", "world.speeds=[1]", "train.batch_size=2"]
    small += ["model.num_layers=1", "model.num_heads=1", "model.head_dim=12"]
    command = [sys.executable, "-m", "studies.premise.call", "--out", str(out), "--back", str(back)]
    command += ["--set", *small, "--base-steps", "3", "--arm-steps", "3", "--clips", "4", "--held-out", "4"]
    done = subprocess.run([sys.executable, "-c", BLOCKED, *command[3:]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "joint.base.s1 w2=2: coherent" in done.stdout
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
