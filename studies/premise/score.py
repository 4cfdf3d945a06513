"""Stage 5: tables with intervals, from the clips that were kept. `python -m studies.premise.score --out RUN`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from studies.premise.run import Run, arguments
from videojam.evaluation.intervals import Interval, paired_difference, share
from videojam.world.grid import judge

Flags = dict[str, Tensor]


def rescored(run: Run, file: Path) -> Iterator[tuple[str, Flags]]:
    """Yield each rule of a model with its flags, judged anew from the clips."""
    tensors = load_file(file)
    for rule in dict.fromkeys(key.split("/")[0] for key in tensors):
        own = {key.split("/")[1]: value for key, value in tensors.items() if key.startswith(f"{rule}/")}
        verdict = judge(run.config.world, run.bed.distinct, own.pop("video"), own.pop("caption"))
        flags = {key: getattr(verdict, key) for key in ("coherent", "as_asked", "explained")}
        yield rule, {**own, **flags}


def table(arms: dict[str, Flags], against: str) -> list[str]:
    """Return a Markdown table: shares with intervals, and the contrast with one of the arms."""
    lines = [
        f"| arm | coherent | as asked | frames explained | coherent minus {against} |",
        "|---|---|---|---|---|",
    ]
    for name, flags in arms.items():
        coherent, asked = (_share(flags[key]) for key in ("coherent", "as_asked"))
        difference = "" if name == against else _percent(_difference(flags, arms[against]), signed=True)
        explained = 100 * float(flags["explained"].mean())
        lines.append(
            f"| {name} | {_percent(coherent)} | {_percent(asked)} | {explained:.1f} % | {difference} |"
        )
    return lines


def _share(flag: Tensor) -> Interval:
    return share(int(flag.sum()), len(flag))


def _difference(flags: Flags, others: Flags) -> Interval:
    return paired_difference(flags["coherent"].numpy(), others["coherent"].numpy())


def _percent(interval: Interval, signed: bool = False) -> str:
    sign = "+" if signed else ""
    mean, low, high = (f"{100 * value:{sign}.1f}" for value in (interval.mean, interval.low, interval.high))
    return f"{mean} ({low} to {high})"


def main() -> None:
    """Run the stage."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--against", default="control.base.s1 plain", help="Arm that is subtracted.")
    parser.add_argument("--noise", type=int, default=0, help="Seed of the noise.")
    options = parser.parse_args()
    run = Run(options.out)
    suffix = f".n{options.noise}.clips.safetensors"
    arms = {}
    for file in sorted(options.out.glob(f"*{suffix}")):
        for rule, flags in rescored(run, file):
            arms[f"{file.name.removesuffix(suffix)} {rule}"] = flags
    print("\n".join(table(arms, options.against)))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
