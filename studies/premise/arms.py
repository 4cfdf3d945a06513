"""Stage 3: arms from one base, in lockstep. `python -m studies.premise.arms --out RUN --base base-2000`."""

from __future__ import annotations

from studies.premise.arm import Arm
from studies.premise.config import ArmConfig
from studies.premise.heldout import NUM_CLIPS, make_heldout
from studies.premise.rules import Rule
from studies.premise.run import Run, arguments
from studies.premise.train import Plan, train_arms
from videojam.joint.widen import widen_transformer

ARMS: dict[str, dict[str, object]] = {
    "control": {},
    "joint": {"kind": "joint"},
    "reweighted": {"moving_weight": 10.0},
    "own": {"kind": "joint", "noise": "own"},
    "gain1": {"kind": "joint", "gain": 1.0},
    "gain3": {"kind": "joint", "gain": 3.0},
    "own_gain1": {"kind": "joint", "noise": "own", "gain": 1.0},
}
"""Arms by name; joint arms have the study's gain, 0.4, unless they say another."""
CURVE_RULES = (Rule(), Rule(w_motion=2.0), Rule(w_motion=2.0, lead=5.0))


def train_fine_tunes(
    run: Run,
    base: str,
    names: list[str],
    seed: int,
    plan: Plan,
    compiled: bool,
    num_heldout: int = NUM_CLIPS,
) -> int:
    """Train arms from a base, named ARM.BASE.sSEED; arms of one seed see the same clips. Returns the steps."""
    arms = []
    for name in names:
        config = ArmConfig.model_validate({"name": f"{name}.{base}.s{seed}", "seed": seed, **ARMS[name]})
        model = run.model(base).requires_grad_(True)
        if config.kind == "joint":
            model = widen_transformer(model, noise=config.noise)
        arms.append(Arm(config, run.bed, model))
    return train_arms(arms, run.folder, plan, make_heldout(run.bed, num_heldout), compiled)


def main() -> None:
    """Run the stage."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--base", default="base", help="Base or snapshot to start from.")
    parser.add_argument("--arms", nargs="*", default=["control", "joint"], choices=list(ARMS))
    parser.add_argument("--seed", type=int, default=1, help="Seed of clips and noise.")
    parser.add_argument("--steps", type=int, help="Steps; as many as fit into the minutes if not given.")
    parser.add_argument("--measures", type=int, default=10, help="Points of the learning curves.")
    options = parser.parse_args()
    run = Run(options.out)
    plan = Plan(
        options.minutes, options.steps, options.measures, CURVE_RULES, snapshot_share=1 / 3, log=run.log
    )
    train_fine_tunes(run, options.base, options.arms, options.seed, plan, not options.no_compile)


if __name__ == "__main__":
    main()
