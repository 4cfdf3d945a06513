"""`videojam bench <verb>`: many models on one suite of prompts, one report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from videojam.cli.common import MODEL_HELP, device_of, say, torch_dtype_of

if TYPE_CHECKING:
    from videojam.bench.folder import Bench
    from videojam.bench.make.arms import ArmSpec
    from videojam.bench.report.results import Results
    from videojam.bench.run import Work
    from videojam.evaluation.judge import Judge

EXIT_PROBLEMS = 1
Policy = Literal["fail", "warn"]

bench_app = typer.Typer(
    help="Models, bases, controls and clips from elsewhere on one suite of prompts: clips, scores, one report.",
    no_args_is_help=True,
)

Out = Annotated[Path, typer.Option(help="Folder of the bench; what is in it is kept and completed.")]
SuiteName = Annotated[
    str, typer.Option(help="motion-128, world, or a .txt, .json or .csv file of prompts; see docs/bench.md.")
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Only the first prompts of each category, for a quick look.")
]
Seeds = Annotated[int, typer.Option(min=1, help="Clips of each prompt.")]
JudgeNames = Annotated[
    list[str] | None,
    typer.Option("--judge", help="Who scores, or MODULE:NAME of a judge of your own; repeat for more."),
]
VBenchParts = Annotated[
    Path | None,
    typer.Option("--vbench-parts", help="YAML with the weights of --judge vbench; see docs/vbench.md."),
]
Against = Annotated[
    str | None, typer.Option(help="Arm that the others are compared with; the first if not given.")
]
Shown = Annotated[int, typer.Option(min=0, help="Prompts whose clips are in the page.")]
OnProblem = Annotated[
    Policy,
    typer.Option(help="fail: exit 1 if any clip is missing, unfit or could not be scored; warn: exit 0."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="A setting of every arm, as steps=10; an arm's own goes first."
    ),
]
BatchSize = Annotated[int, typer.Option(min=1, help="Clips sampled together; changes no clip.")]
RankNumber = Annotated[
    int | None, typer.Option(min=0, help="This process among --num-ranks; read from RANK if not given.")
]
NumRanks = Annotated[
    int | None, typer.Option(min=1, help="Processes that share the clips; from WORLD_SIZE if not given.")
]
Offload = Annotated[bool, typer.Option(help="Keep components on the CPU while they don't run.")]
DType = Annotated[
    Literal["float32", "bfloat16", "float16"] | None,
    typer.Option(help="float32 on the CPU and bfloat16 elsewhere, if not given."),
]
Device = Annotated[str | None, typer.Option(help="cuda if there is one, else cpu, if not given.")]


@bench_app.command("run")
def bench_run(
    models: Annotated[
        list[str], typer.Argument(metavar="[NAME=]MODEL[,KEY=VALUE]...", help=f"{MODEL_HELP} Or world:truth.")
    ],
    out: Out,
    suite: SuiteName = "motion-128",
    limit: Limit = None,
    seeds: Seeds = 1,
    judge: JudgeNames = None,
    vbench_parts: VBenchParts = None,
    against: Against = None,
    shown: Shown = 12,
    on_problem: OnProblem = "fail",
    overrides: Overrides = None,
    batch_size: BatchSize = 1,
    rank: RankNumber = None,
    num_ranks: NumRanks = None,
    offload: Offload = False,
    dtype: DType = None,
    device: Device = None,
) -> None:
    """Generate what is missing, score it, and write the report; a run that was stopped goes on.

    An arm is NAME=MODEL,key=value with keys mode, w_text, w_motion, window, motion_on, drop_motion, reuse_every,
    steps, frames, height, width, fps, negative_prompt, schedule, shift, revision and pipeline=stock.
    """
    from videojam.bench.folder import Bench
    from videojam.bench.make.arms import parse_arms
    from videojam.bench.make.suites import load_suite

    arms = parse_arms(_with_defaults(models, overrides or []))
    from videojam.bench.run import limited

    bench = Bench.create(out, limited(load_suite(suite), limit), seeds)
    work = _work(rank, num_ranks, batch_size, device, dtype, offload)
    _run(bench, arms, _judges(bench, judge, vbench_parts, work), work, against, shown, on_problem)


@bench_app.command("ablate")
def bench_ablate(
    model: Annotated[str, typer.Argument(help="Joint model: folder, hub id or tiny:videojam.")],
    out: Out,
    suite: SuiteName = "motion-128",
    limit: Limit = None,
    seeds: Seeds = 1,
    judge: JudgeNames = None,
    vbench_parts: VBenchParts = None,
    shown: Shown = 12,
    on_problem: OnProblem = "fail",
    overrides: Overrides = None,
    batch_size: BatchSize = 1,
    rank: RankNumber = None,
    num_ranks: NumRanks = None,
    offload: Offload = False,
    dtype: DType = None,
    device: Device = None,
) -> None:
    """Run the paper's Table 3 on one checkpoint: full, and without text, motion, flow; and IP2P guidance."""
    from videojam.bench.folder import Bench
    from videojam.bench.make.ablate import FULL, ablation_arms
    from videojam.bench.make.arms import parse_arms
    from videojam.bench.make.suites import load_suite
    from videojam.bench.run import limited

    arms = ablation_arms(parse_arms(_with_defaults([model], overrides or []))[0])
    bench = Bench.create(out, limited(load_suite(suite), limit), seeds)
    work = _work(rank, num_ranks, batch_size, device, dtype, offload)
    _run(bench, arms, _judges(bench, judge, vbench_parts, work), work, FULL, shown, on_problem)


@bench_app.command("import")
def bench_import(
    clips: Annotated[Path, typer.Argument(help="Folder of clips; its subfolders too.")],
    name: Annotated[str, typer.Option(help="Name of the arm.")],
    out: Out,
    suite: Annotated[
        str | None, typer.Option(help="Suite, if the bench doesn't exist yet; as for `bench run`.")
    ] = None,
    seeds: Seeds = 1,
    table: Annotated[
        Path | None,
        typer.Option(help="CSV with file, id or prompt, and maybe seed; names are used without it."),
    ] = None,
    fps: Annotated[float | None, typer.Option(help="True frame rate, where the files tell another.")] = None,
    on_problem: OnProblem = "fail",
) -> None:
    """Take clips made elsewhere into a bench, matched to its prompts by file name or by a table."""
    from videojam.bench.folder import Bench
    from videojam.bench.make.imports import import_clips
    from videojam.bench.make.suites import load_suite

    bench = Bench.open(out) if suite is None else Bench.create(out, load_suite(suite), seeds)
    report = import_clips(bench, clips, name, table=table, fps=fps)
    say(f"{name}: {report.num_clips} of {len(bench.items)} clips")
    for file, reason in report.unmatched.items():
        say(f"not imported: {file}: {reason}")
    for key in report.missing:
        say(f"missing: {key}")
    problems = bool(report.unmatched or report.missing)
    raise typer.Exit(EXIT_PROBLEMS if problems and on_problem == "fail" else 0)


@bench_app.command("score")
def bench_score(
    out: Out,
    judge: JudgeNames = None,
    vbench_parts: VBenchParts = None,
    against: Against = None,
    shown: Shown = 12,
    on_problem: OnProblem = "fail",
    rank: RankNumber = None,
    num_ranks: NumRanks = None,
    device: Device = None,
) -> None:
    """Score what no judge has seen yet in every arm, imported ones too, and write the report."""
    from videojam.bench.folder import Bench
    from videojam.bench.run import score_bench

    bench, work = Bench.open(out), _work(rank, num_ranks, 1, device, None, False)
    score_bench(bench, _judges(bench, judge, vbench_parts, work), work.rank)
    if work.rank.total == 1:
        _report(bench, None, against, shown, on_problem)


@bench_app.command("report")
def bench_report(
    out: Out,
    arm: Annotated[
        list[str] | None, typer.Option(help="Only these arms, in this order; repeat for several.")
    ] = None,
    against: Against = None,
    shown: Shown = 12,
    on_problem: OnProblem = "fail",
) -> None:
    """Write the report of what is scored: after several ranks, or of other arms than before."""
    from videojam.bench.folder import Bench

    _report(Bench.open(out), arm, against, shown, on_problem)


@bench_app.command("prompts")
def bench_prompts(
    suite: Annotated[str, typer.Argument(help="motion-128, world, or a file of prompts.")],
) -> None:
    """Print a suite, a line for each prompt: id, category, text; tell on stderr what it was recognised as."""
    from videojam.bench.make.suites import load_suite

    found = load_suite(suite)
    say(f"{found.name}: {len(found.prompts)} prompts, sha256 {found.sha256}. {found.note}")
    for prompt in found.prompts:
        typer.echo("\t".join((prompt.id, prompt.category or "", prompt.text)))


def _with_defaults(models: list[str], overrides: list[str]) -> list[str]:
    """Put the settings of every arm before an arm's own."""
    full = []
    for model in models:
        head, *own = model.split(",")
        keys = {option.partition("=")[0].strip() for option in own}
        shared = [text for text in overrides if text.partition("=")[0].strip() not in keys]
        full.append(",".join((head, *shared, *own)))
    return full


def _work(
    rank: int | None,
    num_ranks: int | None,
    batch_size: int,
    device: str | None,
    dtype: str | None,
    offload: bool,
) -> Work:
    import os

    from videojam.bench.make.generate import Rank
    from videojam.bench.run import Work

    if device is None and "LOCAL_RANK" in os.environ:
        import torch

        device = f"cuda:{os.environ['LOCAL_RANK']}" if torch.cuda.is_available() else "cpu"
    here = Rank.here(rank, num_ranks)
    return Work(here, batch_size, device_of(device), torch_dtype_of(dtype), offload)


def _judges(bench: Bench, names: list[str] | None, vbench_parts: Path | None, work: Work) -> list[Judge]:
    from videojam.evaluation.judges import DEFAULTS, build_judges

    names = names or DEFAULTS.get(bench.file.suite.name, DEFAULTS[""])
    return build_judges(names, work.device, vbench_parts)


def _run(
    bench: Bench,
    arms: list[ArmSpec],
    judges: list[Judge],
    work: Work,
    against: str | None,
    shown: int,
    on_problem: Policy,
) -> None:
    from videojam.bench.run import run_bench

    results = run_bench(bench, arms, judges, work=work, against=against, num_shown=shown)
    if results is None:
        say(f"Rank {work.rank.number} of {work.rank.total} is done.")
        say(f"When all are: videojam bench report --out {bench.folder}")
    else:
        _tell(bench, results, on_problem)


def _report(
    bench: Bench, arms: list[str] | None, against: str | None, shown: int, on_problem: Policy
) -> None:
    from videojam.bench.report.report import write_report

    _tell(bench, write_report(bench, arms, against, shown), on_problem)


def _tell(bench: Bench, results: Results, on_problem: Policy) -> None:
    """Print the headline, the problems and where the page is; exit by policy."""
    from videojam.bench.report.report import page_of
    from videojam.bench.report.text import problem_lines, table_lines

    typer.echo("\n".join(table_lines(results)))
    for line in problem_lines(results):
        say(line)
    typer.echo(str(page_of(bench)))
    raise typer.Exit(EXIT_PROBLEMS if results.problems and on_problem == "fail" else 0)
