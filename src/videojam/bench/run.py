"""A bench from end to end: what is missing is generated and scored, then the report is written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from videojam.bench.folder import Bench
from videojam.bench.make.arms import ArmSpec
from videojam.bench.make.generate import Rank, generate_arm
from videojam.bench.make.suites import Suite
from videojam.bench.report.report import NUM_SHOWN, write_report
from videojam.bench.report.results import Results
from videojam.bench.score.scoring import score_arm
from videojam.errors import VideoJamError
from videojam.evaluation.judge import Judge
from videojam.models.load import LoadedModel, quiet_loading


@dataclass(frozen=True)
class Work:
    """How the work is done; none of it changes a figure.

    Attributes:
        rank: Which part of the clips is this process's.
        batch_size: Clips sampled together.
        device: Where to run.
        dtype: Type of the weights.
        offload: Keep components on the CPU while they don't run.
    """

    rank: Rank = Rank()  # noqa: RUF009 - frozen
    batch_size: int = 1
    device: str = "cpu"
    dtype: Any = None
    offload: bool = False


def run_bench(
    bench: Bench,
    arms: Sequence[ArmSpec],
    judges: Sequence[Judge],
    *,
    work: Work | None = None,
    against: str | None = None,
    num_shown: int = NUM_SHOWN,
) -> Results | None:
    """Generate what is missing, score it, and write the report on all arms of the bench.

    With several ranks each does its part of the clips and of the scores; the report is then `write_report`'s, once
    all are done.

    Args:
        bench: The bench.
        arms: What to generate; arms that are in the bench already, such as imported ones, are scored too.
        judges: Who scores.
        work: How.
        against: The arm that the others are compared with.
        num_shown: Prompts whose clips are in the page.

    Returns:
        The results; none on a rank among several.

    Raises:
        VideoJamError: as `generate_arm`, `score_arm` and `write_report`.
    """
    work = work or Work()
    quiet_loading()
    loaded: dict[str, LoadedModel] = {}
    with _progress() as follow:
        for spec in arms:
            generate_arm(
                bench,
                spec,
                rank=work.rank,
                batch_size=work.batch_size,
                device=work.device,
                dtype=work.dtype,
                offload=work.offload,
                loaded=loaded,
                on_clip=follow(f"{spec.name}: clips"),
            )
        score_all(bench, judges, work.rank, follow)
    if work.rank.total > 1:
        return None
    wanted = [spec.name for spec in arms]
    order = [*wanted, *(name for name in bench.arms if name not in wanted)]
    return write_report(bench, order, against, num_shown)


Follow = Callable[[str], Callable[[int, int], None]]


def score_all(bench: Bench, judges: Sequence[Judge], rank: Rank, follow: Follow) -> None:
    """Score every arm of a bench.

    Raises:
        VideoJamError: the bench has no arm; as `score_arm`.
    """
    if not bench.arms:
        raise VideoJamError(
            expected="at least one arm", found="none", where=str(bench.folder),
            fix="Name a model, or import clips with `videojam bench import`.",
        )  # fmt: skip
    for arm in bench.arms:
        score_arm(bench, arm, judges, rank=rank, on_clip=follow(f"{arm}: scores"))


def score_bench(bench: Bench, judges: Sequence[Judge], rank: Rank | None = None) -> None:
    """Score every arm of a bench, with progress."""
    with _progress() as follow:
        score_all(bench, judges, rank or Rank(), follow)


def limited(suite: Suite, num_prompts: int | None) -> Suite:
    """Return the first prompts of each category, for a quick look; all if no number is given."""
    if num_prompts is None:
        return suite
    seen: dict[str | None, int] = {}
    chosen = []
    for prompt in suite.prompts:
        seen[prompt.category] = seen.get(prompt.category, 0) + 1
        if seen[prompt.category] <= num_prompts:
            chosen.append(prompt)
    note = f"{suite.note} Only the first {num_prompts} of each category."
    return suite.model_copy(update={"prompts": tuple(chosen), "note": note.strip()})


@contextmanager
def _progress() -> Iterator[Follow]:
    """Yield what makes a progress bar of a name; nothing is shown where nobody looks."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:

        def follow(name: str) -> Callable[[int, int], None]:
            task = progress.add_task(name, total=None)
            return lambda done, total: progress.update(task, completed=done, total=total)

        yield follow
