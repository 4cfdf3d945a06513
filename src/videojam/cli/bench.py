"""`videojam bench <verb>`: many models on one suite of prompts, one report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from videojam.cli.bench_flags import (
    Against,
    Judging,
    Making,
    Matching,
    OnProblem,
    Out,
    Policy,
    Prompts,
    Ranks,
    Reporting,
)
from videojam.cli.common import MODEL_HELP, say, stoppable
from videojam.cli.flags import grouped
from videojam.cli.progress import ProgressDisplay
from videojam.limits import MAX_SEEDS

if TYPE_CHECKING:
    from videojam.bench.report.results import Results
    from videojam.bench.work import Plan, Work
    from videojam.evaluation.judge import Judge

EXIT_PROBLEMS = 1

bench_app = typer.Typer(
    help="Models, bases, controls and clips from elsewhere on one suite of prompts: clips, scores, one report.",
    no_args_is_help=True,
)


@bench_app.command("run")
@grouped
def bench_run(
    models: Annotated[
        list[str], typer.Argument(metavar="[NAME=]MODEL[,KEY=VALUE]...", help=f"{MODEL_HELP} Or world:truth.")
    ],
    out: Out,
    prompts: Prompts,
    judging: Judging,
    making: Making,
    ranks: Ranks,
    reporting: Reporting,
    against: Against = None,
) -> None:
    """Generate what is missing, score it, and write the report; a run that was stopped goes on.

    An arm is NAME=MODEL,key=value with the keys of `--set` of `videojam generate` (mode, w_text, w_motion, window,
    steps, frames, height, width, fps, …), and revision or pipeline=stock; docs/sampling.md lists them.
    """
    suite = prompts.load()
    work = making.work(ranks, [model.partition(",")[0] for model in models], prompts, suite)
    from videojam.bench.make.arms import parse_arms

    arms = parse_arms(models, making.overrides or [])

    def plan() -> Plan:
        from videojam.bench.work import Plan

        return Plan(suite, arms, prompts.seeds, against)

    _run(out, plan, judging.build, work, reporting)


@bench_app.command("ablate")
@grouped
def bench_ablate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Joint model: folder, hub id or tiny:videojam.")
    ],
    out: Out,
    prompts: Prompts,
    judging: Judging,
    making: Making,
    ranks: Ranks,
    reporting: Reporting,
) -> None:
    """Run the paper's Table 3 on one checkpoint: full, and without text, motion, flow; and IP2P guidance."""
    suite = prompts.load()
    head = model.partition(",")[0]
    work = making.work(ranks, [f"the five ablations of {head}"], prompts, suite)
    from videojam.bench.make.arms import parse_arms

    arm = parse_arms([model], making.overrides or [])[0]

    def plan() -> Plan:
        from videojam.bench.presets import ablation_plan

        return ablation_plan(arm, suite, prompts.seeds)

    _run(out, plan, judging.build, work, reporting)


@bench_app.command("import")
@grouped
def bench_import(
    clips: Annotated[Path, typer.Argument(metavar="CLIPS", help="Folder of clips; its subfolders too.")],
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the arm.")],
    out: Out,
    matching: Matching,
    suite: Annotated[
        str | None,
        typer.Option(
            metavar="SUITE",
            help="Suite, if the bench doesn't exist yet; as for `bench run`. (default: the bench's)",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=MAX_SEEDS, help="Clips of each prompt. (default: the bench's, else 1)"
        ),
    ] = None,
    on_problem: OnProblem = "fail",
) -> None:
    """Take clips made elsewhere into a bench, matched to its prompts by file name or by a table."""
    say(f"import of {clips} as arm {name} of {out}")
    from videojam.bench.make import imports

    how = imports.Matching(**asdict(matching))
    with stoppable(lambda: where_it_stands(out)), follow(f"{name}: import") as progress:
        report = imports.import_into(
            out, clips, name, suite=suite, num_seeds=seeds, matching=how, follow=progress
        )
    say(f"{name}: {report.num_clips} of {report.num_clips + len(report.missing)} clips")
    for line in lengths(report.frames, matching.any_length):
        say(line)
    for file, reason in report.unmatched.items():
        say(f"not imported: {file}: {reason}")
    for key in report.missing:
        say(f"missing: {key}")
    say(f"Next: videojam bench score --out {out}")
    problems = bool(report.unmatched or report.missing)
    raise typer.Exit(EXIT_PROBLEMS if problems and on_problem == "fail" else 0)


def lengths(frames: dict[int, int], any_length: bool) -> list[str]:
    """Say how many of some imported clips differ in length from the most frequent one; nothing where none does.

    Args:
        frames: Number of clips by their number of frames, the most frequent first.
        any_length: Whether every length is scored.
    """
    usual, num = next(iter(frames.items()), (0, 0))
    total = sum(frames.values())
    if num == total:
        return []
    line = f"{total - num} of {total} clips have another length than the most frequent one ({usual} frames): "
    return [line + ("all are scored" if any_length else "they are not scored; --any-length scores all")]


@bench_app.command("score")
@grouped
def bench_score(
    out: Out,
    judging: Judging,
    ranks: Ranks,
    reporting: Reporting,
    against: Against = None,
) -> None:
    """Score what no judge has seen yet in every arm, imported ones too, and write the report."""
    work = ranks.work(f"scores of the clips of {out}")
    from videojam.bench.folder import Bench
    from videojam.bench.run import score_bench

    bench = Bench.open(out)
    judges = judging.build(bench.file.suite.name, work.device)
    with stoppable(lambda: where_it_stands(out)):
        score_bench(bench, judges, work.rank, follow)
    if work.rank.total == 1:
        _report(bench, None, against, reporting)


@bench_app.command("report")
@grouped
def bench_report(
    out: Out,
    reporting: Reporting,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ARM", help="Only these arms, in this order; repeat for several. (default: all)"
        ),
    ] = None,
    against: Against = None,
) -> None:
    """Write the report of what is scored: after several ranks, or of other arms than before."""
    say(f"report of {out}")
    from videojam.bench.folder import Bench

    _report(Bench.open(out), arm, against, reporting)


@bench_app.command("prompts")
def bench_prompts(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="motion-128, world, or a file of prompts.")],
) -> None:
    """Print a suite, a line for each prompt: id, category, text; on stderr what it was recognised as."""
    from videojam.bench.make.suites import load_suite

    found = load_suite(suite)
    say(f"{found.name}: {len(found.prompts)} prompts, sha256 {found.sha256}. {found.note}")
    for prompt in found.prompts:
        typer.echo("\t".join((prompt.id, prompt.category or "", prompt.text)))


def _run(
    out: Path,
    plan: Callable[[], Plan],
    build_judges: Callable[[str, str], list[Judge]],
    work: Work,
    reporting: Reporting,
) -> None:
    from videojam.bench.run import run_bench

    planned = plan()
    judges = build_judges(planned.suite.name, work.device)
    with stoppable(lambda: where_it_stands(out)):
        results = run_bench(out, planned, judges, work, reporting.shown, follow)
    if results is None:
        say(f"Rank {work.rank.number} of {work.rank.total} is done.")
        say(f"When all are: videojam bench report --out {out}")
    else:
        show(out, results, reporting.on_problem)


def follow(task: str) -> ProgressDisplay:
    """Show the progress of a task."""
    return ProgressDisplay(task, "clips")


def _report(bench: Any, arms: list[str] | None, against: str | None, reporting: Reporting) -> None:
    from videojam.bench.report.report import write_report

    show(bench.folder, write_report(bench, arms, against, reporting.shown), reporting.on_problem)


def show(out: Path, results: Results, on_problem: Policy) -> None:
    """Print the finding, the table, the problems and where the page is; exit by policy."""
    from videojam.bench.report.report import page_of
    from videojam.bench.report.text import problem_lines, table_lines

    typer.echo("\n".join(table_lines(results)))
    for line in problem_lines(results):
        say(line)
    typer.echo(f"Page: {page_of(out)}")
    say(f"Next: open the page in a browser, or ask people: videojam study new {out} --out STUDY")
    raise typer.Exit(EXIT_PROBLEMS if results.problems and on_problem == "fail" else 0)


def where_it_stands(out: Path) -> str:
    """Say how many clips of each arm a stopped bench has, and how to go on."""
    from videojam.bench.folder import Bench

    arms = ""
    if (out / "bench.json").exists():
        bench = Bench.open(out)
        nums = {arm: sum(bench.clip(arm, item).exists() for item in bench.items) for arm in bench.arms}
        arms = "".join(f" {arm}: {num} of {len(bench.items)} clips." for arm, num in nums.items())
    return f"What is finished is kept in {out}.{arms} The same command goes on from there."
