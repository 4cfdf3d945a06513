"""What is missing of the study, as stages for a GPU that is lent by the minute: one command each.

    python -m studies.premise.stages variants --out RUN --back BACK [--dry-run]

A stage is a set of arguments of `studies.premise.call`; those that follow the name are added. `--dry-run` says what it
trains, the memory of its weights, and the files that it gives back; `--rehearse` runs it with a handful of steps.
"""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass

from studies.premise.config import StudyConfig
from studies.premise.model import make_base
from studies.premise.run import config_of
from videojam.joint.widen import widen_transformer

LARGE_16 = (
    "world.size_px=16 world.num_frames=8 model.num_heads=5 model.head_dim=64 model.num_layers=6 "
    "train.batch_size=128"
)
LARGE_32 = (
    "world.size_px=32 world.num_frames=8 world.speeds=[2,4] model.patch_px=4 model.num_heads=6 model.head_dim=64 "
    "model.num_layers=6 train.batch_size=128"
)
"""The mover stays 2×2, as visible in a frame as in the small world; 512 tokens a clip in both."""
LARGE_RULES = (
    "--rules plain w1=1 w1=3 w1=5 w1=8 auto=2 w1=3_auto=2 w1=5_auto=2 w1=8_auto=2 w2=2 w2=4 w1=3_w2=2 w1=3_w2=4 "
    "w1=5_w2=2 w1=5_w2=4 w1=8_w2=2 w1=8_w2=4 no-flow oracle"
)
SHORT = "--base-steps 1500 --base-minutes 1.5 --arm-steps 6000 --sample-minutes 0.3 --noise 0 1 --measures 2"
LONG = (
    "--base-steps 1500 --base-minutes 1.5 --arm-steps 23272 --arm-minutes 4 --sample-minutes 0.5 --noise 0 1"
)
KINDS = "'world.kinds=[bounce, pillar, exchange, walker, rotor]'"
NUM_STATES = 5
"""Copies of a model's weights in training at most: weights, gradient, average, two moments."""


@dataclass(frozen=True)
class Stage:
    """A set of arguments of `studies.premise.call`.

    Attributes:
        what: What it adds to the study, for people.
        minutes: Of one H100 or H200, from the rates of the runs that are kept.
        arguments: As they are typed.
    """

    what: str
    minutes: float
    arguments: str


STAGES = {
    "reweighted": Stage(
        "seeds 2 and 3 of the second control", 4, f"{SHORT} --arms control reweighted --seeds 2 3"
    ),
    "variants": Stage(
        "seeds 2 and 3 of motion's own noise level and of gain 1", 6, f"{SHORT} --arms own gain1 --seeds 2 3"
    ),
    "long-2": Stage("a second seed of `long`", 6, f"{LONG} --seeds 2"),
    "long-3": Stage("a third seed of `long`", 6, f"{LONG} --seeds 3"),
    "mature": Stage(
        "three seeds from a base of 24,772 plain steps",
        7,
        f"{SHORT} --base-steps 24772 --base-minutes 3 --seeds 1 2 3",
    ),
    "kinds": Stage("all kinds of motion, 23,272 steps", 7, f"{LONG} --set {KINDS}"),
    "texture-0.5": Stage(
        "the lost point of the axis, three seeds", 6, f"{SHORT} --seeds 1 2 3 --set world.texture=0.5"
    ),
    "texture-0": Stage("seeds 2 and 3 at texture 0", 4, f"{SHORT} --seeds 2 3 --set world.texture=0.0"),
    "texture-0.25": Stage(
        "seeds 2 and 3 at texture 0.25", 4, f"{SHORT} --seeds 2 3 --set world.texture=0.25"
    ),
    "large-16": Stage(
        "a third seed at 16×16",
        9,
        "--base-steps 1500 --base-minutes 1.5 --arm-steps 5000 --arm-minutes 5 --sample-minutes 2.5 --clips 256 "
        f"--measures 2 --noise 0 1 --seeds 3 {LARGE_RULES} --set {LARGE_16}",
    ),
    "large-16-gain1": Stage(
        "motion's latents times 1 at 16×16, beside 0.4",
        5,
        "--base-steps 1500 --base-minutes 1.5 --arm-steps 5000 --arm-minutes 3 --sample-minutes 1.5 --clips 256 "
        f"--measures 2 --noise 0 1 --arms gain1 --seeds 2 --set {LARGE_16}",
    ),
    "large-32": Stage(
        "32×32: base, control, VideoJAM",
        8,
        "--base-steps 1500 --base-minutes 1.5 --arm-minutes 4.5 --sample-minutes 1.4 --clips 128 --measures 2 "
        f"--noise 0 {LARGE_RULES} --set {LARGE_32}",
    ),
}
REHEARSAL = "--base-steps 2 --arm-steps 2 --clips 1 --held-out 1 --measures 1 --no-compile --no-gates"
REHEARSED = {"train.batch_size": "1"}
"""Of the config, for every stage."""
REHEARSED_LARGE = {"world.size_px": "16"}
"""For a world above 16×16 pixels: its model and its movers on a quarter of the pixels."""


def arguments_of(name: str) -> list[str]:
    """Return a stage's arguments, as a list."""
    return [*shlex.split(STAGES[name].arguments), "--minutes", f"{STAGES[name].minutes:g}"]


def config_of_stage(name: str) -> StudyConfig:
    """Return the config that a stage's `--set` gives."""
    words = shlex.split(STAGES[name].arguments)
    return config_of(words[words.index("--set") + 1 :] if "--set" in words else [])


def rehearsed(name: str) -> list[str]:
    """Return the settings with which a stage is rehearsed."""
    changes = REHEARSED | (REHEARSED_LARGE if config_of_stage(name).world.size_px > 16 else {})
    return [f"{key}={value}" for key, value in changes.items()]


def facts_of(name: str) -> dict[str, float]:
    """Return the size of a stage: parameters, tokens a clip, memory of an arm in training, files of a model.

    Keys: `millions` of parameters of the joint model, `tokens`, `training_mb` of weights, gradients and moments of one
    arm in float32, `file_mb` of its averaged weights in half precision.
    """
    config = config_of_stage(name)
    model = widen_transformer(make_base(config.model, 0))
    num = sum(parameter.numel() for parameter in model.parameters())
    world = config.world
    return {
        "millions": round(num / 1e6, 1),
        "tokens": world.num_frames * (world.size_px // config.model.patch_px) ** 2,
        "training_mb": round(4 * NUM_STATES * num / 2**20, 1),
        "file_mb": round(2 * num / 2**20, 1),
    }


def table() -> str:
    """Return the stages as a Markdown table."""
    lines = [
        "| stage | adds | minutes | parameters, M | tokens a clip | an arm in training, MB | weights of a model, MB |",
        "|---" * 7 + "|",
    ]
    for name, stage in STAGES.items():
        facts = facts_of(name)
        values = " | ".join(f"{facts[key]:g}" for key in ("millions", "tokens", "training_mb", "file_mb"))
        lines.append(f"| `{name}` | {stage.what} | {stage.minutes:g} | {values} |")
    return "\n".join(lines)


def main() -> None:
    """Run a stage."""
    from studies.premise.call import call, parser_of
    from studies.premise.run import Run

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--dry-run", action="store_true", help="Say what it takes, and stop.")
    parser.add_argument("--rehearse", action="store_true", help="A handful of steps, for a CPU.")
    options, more = parser.parse_known_args()
    words = arguments_of(options.stage)
    if options.rehearse:
        words += shlex.split(REHEARSAL)
    if options.dry_run:
        print(STAGES[options.stage].what, facts_of(options.stage), shlex.join(words), sep="\n")
        return
    asked = parser_of().parse_args([*words, *more])
    if options.rehearse:
        asked.set = [*asked.set, *rehearsed(options.stage)]
    call(Run(asked.out, config_of(asked.set)), asked)


if __name__ == "__main__":
    main()
