"""Stage 2: the base, with a young snapshot. `python -m studies.premise.base --out RUN --minutes 2`."""

from __future__ import annotations

from studies.premise.arm import Arm
from studies.premise.config import ArmConfig
from studies.premise.heldout import NUM_CLIPS, make_heldout
from studies.premise.model import make_base
from studies.premise.run import Run, arguments, config_of
from studies.premise.train import Plan, train_arms


def train_base(run: Run, plan: Plan, compiled: bool, num_heldout: int = NUM_CLIPS) -> int:
    """Train `base` from nothing; its snapshots are the young bases. Returns the steps done."""
    config = run.config
    arm = Arm(ArmConfig(name="base", seed=config.seed), run.bed, make_base(config.model, config.seed))
    return train_arms([arm], run.folder, plan, make_heldout(run.bed, num_heldout), compiled)


def main() -> None:
    """Run the stage."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--steps", type=int, help="Steps; as many as fit into the minutes if not given.")
    parser.add_argument("--young", type=int, nargs="*", default=[2000], help="Steps to keep snapshots of.")
    options = parser.parse_args()
    run = Run(options.out, config_of(options.set))
    plan = Plan(options.minutes, options.steps, snapshots=tuple(options.young), log=run.log)
    train_base(run, plan, not options.no_compile)


if __name__ == "__main__":
    main()
