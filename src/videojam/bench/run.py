"""A bench from end to end: what is missing is generated and scored, then the report is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from videojam.bench.folder import Bench
from videojam.bench.make.generate import OnClip, generate_arm
from videojam.bench.make.sources import find_source
from videojam.bench.report.report import NUM_SHOWN, write_report
from videojam.bench.report.results import Results
from videojam.bench.score.scoring import score_arm, unfit_clips
from videojam.bench.work import Plan, Rank, Work, held
from videojam.errors import VideoJamError
from videojam.evaluation.judge import Judge
from videojam.models.load import LoadedModel

Follow = Callable[[str], AbstractContextManager[OnClip | None]]
"""Shows the progress of a task of some name."""


def unseen(name: str) -> AbstractContextManager[None]:
    """Show no progress."""
    return nullcontext()


def run_bench(
    out: str | Path,
    plan: Plan,
    judges: Sequence[Judge],
    work: Work | None = None,
    num_shown: int = NUM_SHOWN,
    follow: Follow = unseen,
) -> Results | None:
    """Generate what is missing, score it, and write the report on all arms of the bench.

    With several ranks each does its part of the clips and of the scores; the report is then `write_report`'s, once
    all are done.

    Args:
        out: Folder of the bench; one that exists is completed.
        plan: What it compares; arms that are in it already, such as imported ones, are scored too.
        judges: Who scores.
        work: How.
        num_shown: Prompts whose clips are in the page.
        follow: Shows the progress of each task.

    Returns:
        The results; None on a rank among several.

    Raises:
        VideoJamError: another run writes into the folder; as `generate_arm`, `score_arm` and `write_report`.
    """
    work = work or Work()
    # Before anything is written, so that a model that isn't there leaves no folder behind.
    sources = {spec.name: find_source(spec) for spec in plan.arms}
    loaded: dict[str, LoadedModel] = {}
    words = {"title": plan.title, "about": plan.about}
    with held(out, work.rank):
        with Bench.begun(out, plan.suite, plan.num_seeds, **words) as bench:
            if plan.against not in (None, *sources, *bench.arms):
                raise bench.unknown(str(plan.against), (*sources, *bench.arms))
            for spec in plan.arms:
                again = _to_make_again(bench, spec.name, judges, work.rank, follow)
                with follow(f"{spec.name}: clips") as on_clip:
                    generate_arm(
                        bench,
                        spec,
                        work,
                        source=sources[spec.name],
                        again=again,
                        loaded=loaded,
                        on_clip=on_clip,
                    )
        score_all(bench, judges, work.rank, follow)
        if work.rank.total > 1:
            return None
        return write_report(bench, bench.ordered([spec.name for spec in plan.arms]), plan.against, num_shown)


def score_all(bench: Bench, judges: Sequence[Judge], rank: Rank, follow: Follow) -> None:
    """Score every arm of a bench.

    Raises:
        VideoJamError: the bench has no arm; as `score_arm`.
    """
    if not bench.arms:
        raise VideoJamError(
            expected="at least one arm", found="none", where=str(bench.folder),
            fix="Generate clips with `videojam bench run`, or import some with `videojam bench import`.",
        )  # fmt: skip
    for arm in bench.arms:
        with follow(f"{arm}: scores") as on_clip:
            score_arm(bench, arm, judges, rank=rank, on_clip=on_clip)


def score_bench(
    bench: Bench, judges: Sequence[Judge], rank: Rank | None = None, follow: Follow = unseen
) -> None:
    """Score every arm of a bench while no other process writes into it."""
    rank = rank or Rank()
    with held(bench.folder, rank):
        score_all(bench, judges, rank, follow)


def _to_make_again(bench: Bench, arm: str, judges: Sequence[Judge], rank: Rank, follow: Follow) -> set[str]:
    """Return the clips of an earlier run that can't be read or don't fit; what was not scored yet is scored first."""
    if arm not in bench.arms:
        return set()
    with follow(f"{arm}: clips of earlier runs") as on_clip:
        score_arm(bench, arm, judges, rank=rank, on_clip=on_clip)
    return unfit_clips(bench, arm)
