"""Flags in groups of `videojam bench`: which prompts, who scores, which process, how clips are made and reported."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from videojam.cli.common import Device, named_folder, start, torch_dtype_of
from videojam.evaluation.table import DEFAULTS, JUDGES
from videojam.limits import MAX_SEEDS

if TYPE_CHECKING:
    from videojam.bench.make.suites import Suite
    from videojam.bench.work import Work
    from videojam.evaluation.judge import Judge

Policy = Literal["fail", "warn"]

Out = Annotated[
    Path,
    typer.Option(
        help="Folder of the bench; what is in it is kept and completed.", parser=named_folder, metavar="DIR"
    ),
]
Seeds = Annotated[int, typer.Option(metavar="N", min=1, max=MAX_SEEDS, help="Clips of each prompt.")]
OnProblem = Annotated[
    Policy,
    typer.Option(help="fail: exit 1 if any clip is missing, unfit or could not be scored; warn: exit 0."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A setting of every arm, as steps=10; an arm's own goes first. (default: the model's)",
    ),
]


@dataclass(frozen=True)
class Prompts:
    """Which prompts."""

    suite: Annotated[
        str,
        typer.Option(
            metavar="SUITE",
            help="motion-128, world, or a .txt, .json, .jsonl, .csv or .tsv file; see docs/bench.md.",
        ),
    ] = "motion-128"
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Only the first prompts of each category, for a quick look. (default: all prompts)",
        ),
    ] = None
    seeds: Seeds = 1

    def load(self) -> Suite:
        """Return the suite, cut to the limit."""
        from videojam.bench.make.suites import limited, load_suite

        return limited(load_suite(self.suite), self.limit)


@dataclass(frozen=True)
class Judging:
    """Who scores."""

    judge: Annotated[
        list[str] | None,
        typer.Option(
            "--judge",
            metavar="JUDGE",
            help=f"{', '.join(JUDGES)}, or MODULE:NAME of a judge of your own; repeat for more. "
            "(default: the suite's)",
        ),
    ] = None
    vbench_parts: Annotated[
        Path | None,
        typer.Option(
            "--vbench-parts",
            metavar="FILE",
            help="YAML with the weights of --judge vbench; see docs/vbench.md. (default: those named there)",
        ),
    ] = None

    def build(self, suite: str, device: str) -> list[Judge]:
        """Build the judges; those of the suite where none is named."""
        from videojam.evaluation.judges import build_judges

        return build_judges(self.judge or DEFAULTS.get(suite, DEFAULTS[""]), device, self.vbench_parts)


@dataclass(frozen=True)
class Ranks:
    """Which process this is."""

    rank: Annotated[
        int | None,
        typer.Option(metavar="I", min=0, help="This process among --num-ranks. (default: RANK, else 0)"),
    ] = None
    num_ranks: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Processes that share the clips. (default: WORLD_SIZE, else 1)"
        ),
    ] = None
    device: Device = None

    def work(self, doing: str, dtype: str | None = None, **more: Any) -> Work:
        """Say what runs where, and return how this process works."""
        device = self.device
        if device is None and "LOCAL_RANK" in os.environ:
            import torch

            device = f"cuda:{os.environ['LOCAL_RANK']}" if torch.cuda.is_available() else "cpu"
        device = start(doing, device, dtype)
        from videojam.bench.work import Rank, Work

        here = Rank.here(self.rank, self.num_ranks)
        return Work(here, device=device, dtype=torch_dtype_of(dtype), **more)


@dataclass(frozen=True)
class Making:
    """How clips are made."""

    batch_size: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Clips sampled together; part of what an arm is, see docs/bench.md."
        ),
    ] = 1
    offload: Annotated[
        bool, typer.Option("--offload", help="Keep what doesn't run on the CPU: less GPU memory.")
    ] = False
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"] | None,
        typer.Option(
            metavar="TYPE", help="float32, bfloat16 or float16. (default: bfloat16 on a GPU, else float32)"
        ),
    ] = None
    overrides: Overrides = None

    def work(self, ranks: Ranks, arms: Sequence[str], prompts: Prompts, suite: Suite) -> Work:
        """Say what runs where, and return how this process works."""
        num_clips = len(suite.prompts) * prompts.seeds
        doing = f"bench of {', '.join(arms)} on {num_clips} clips of {suite.name}"
        return ranks.work(doing, self.dtype, batch_size=self.batch_size, offload=self.offload)


@dataclass(frozen=True)
class Reporting:
    """What the report shows."""

    shown: Annotated[int, typer.Option(metavar="N", min=0, help="Prompts whose clips are in the page.")] = 12
    on_problem: OnProblem = "fail"


Against = Annotated[
    str | None,
    typer.Option(metavar="ARM", help="Arm that the others are compared with. (default: the first)"),
]


@dataclass(frozen=True)
class Matching:
    """How clips from elsewhere belong to prompts."""

    table: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="CSV with file, id or prompt, and maybe seed. (default: names are used)"
        ),
    ] = None
    fps: Annotated[
        float | None,
        typer.Option(
            metavar="N", help="True frame rate, where the files say another one. (default: what they say)"
        ),
    ] = None
    any_length: Annotated[
        bool,
        typer.Option("--any-length", help="Score clips of every length; else only the most frequent one."),
    ] = False
