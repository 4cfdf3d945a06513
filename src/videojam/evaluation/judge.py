"""What a judge of clips is: pixels, frame rate and prompt in, named numbers out, each of them declared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from pydantic import Field
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.strict import Strict

Kind = Literal["share", "count", "score", "seconds", "px"]
"""What a measure's values are; see `Measure.kind`."""

Better = Literal["higher", "lower", "neither"]

_UNITS: dict[Kind, str] = {"share": "%", "seconds": "s", "px": "px"}


class Measure(Strict):
    """One number of a judge, declared so that tables, plots and intervals need to know nothing else of it."""

    name: str = Field(min_length=1, description="Its key in the scores, as coherent.")
    title: str = Field(min_length=1, description="For people, in lower case: a column's head.")
    kind: Kind = Field(
        "score",
        description="share: 0 or 1 for each clip, so that the mean is a share of clips; count: a whole number of "
        "things; seconds; px; score: any other number.",
    )
    unit: str = Field(
        "", description="Where the kind does not say it. % means that values in 0..1 are shown times 100."
    )
    better: Better = Field("neither", description="Which way is better.")
    headline: bool = Field(False, description="Whether it stands in the first table of a report.")
    paper: str | None = Field(None, description="The column of the paper's tables that it is, if any.")
    judge: str = Field("", description="The judge's name, where measures of several judges stand together.")

    @property
    def key(self) -> str:
        """Name that is unique in a bench."""
        return f"{self.judge}.{self.name}"

    @property
    def shown_unit(self) -> str:
        """The unit as it is printed; empty if there is none."""
        return self.unit or _UNITS.get(self.kind, "")

    @property
    def percent(self) -> bool:
        """Whether 0..1 is shown as 0..100 %."""
        return self.shown_unit == "%"

    def show(self, value: float, signed: bool = False) -> str:
        """Return a value as people read it, without its unit."""
        digits = f"{'+' if signed else ''}.{1 if self.percent else 3}f"
        return format(100 * value if self.percent else value, digits).replace("-", "−")


class Declaration(Strict):
    """What a judge says of itself, kept beside its scores."""

    judge: str = Field(description="Its name.")
    note: str = Field("", description="What a reader of its figures must know.")
    measures: tuple[Measure, ...] = Field(min_length=1, description="In the order in which they are shown.")


@runtime_checkable
class Judge(Protocol):
    """Scores one clip at a time; every judge of a bench gets the same decoded clip.

    A measure that can't be taken is NaN (`NoValue` says why), and a clip that can't be judged at all raises
    `VideoJamError`: both are recorded for that clip as a problem, and neither is in any mean.

    Attributes:
        name: Short and stable; part of the key under which its scores are kept, so a judge whose arithmetic or
            weights change takes another name.
        measures: What `score` returns, in the order in which it is shown.
        note: Optional: one or two sentences that stand under the tables with its figures.
    """

    @property
    def name(self) -> str:
        """See above."""
        ...

    @property
    def measures(self) -> tuple[Measure, ...]:
        """See above."""
        ...

    def score(self, video: UInt8[Tensor, "t 3 h w"], fps: float, prompt: str) -> dict[str, float]:
        """Return one number for each of `measures`, by its name.

        Args:
            video: Pixels, uint8.
            fps: Frames in a second.
            prompt: What the clip was asked to show.

        Raises:
            VideoJamError: the clip can't be judged.
        """
        ...


class NoValue(float):
    """NaN that says why a measure could not be taken.

    Args:
        reason: In words.
    """

    def __new__(cls, reason: str) -> NoValue:
        """Make a NaN; the reason is kept by `__init__`."""
        return super().__new__(cls, math.nan)

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Verdict(float):
    """A number that says why it is what it is: the reasons stand beside the clip in a report.

    Args:
        value: The number, 0 or 1 for a share.
        reasons: In words, the weightiest first.
    """

    def __new__(cls, value: float, reasons: Sequence[str]) -> Verdict:
        """Make a number; the reasons are kept by `__init__`."""
        return super().__new__(cls, value)

    def __init__(self, value: float, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)


def declaration(judge: Judge) -> Declaration:
    """Return what a judge declares: its name, its note where it has one, its measures.

    Raises:
        ValidationError: it declares no measures, or something else than measures.
    """
    return Declaration(judge=judge.name, note=getattr(judge, "note", ""), measures=tuple(judge.measures))


def numbers_of(returned: object, judge: Judge, clip: str) -> dict[str, float]:
    """Return what a judge's `score` returned as numbers by measure.

    Args:
        returned: A mapping; NumPy's numbers and tensors of one element count as numbers.
        judge: Whose it is.
        clip: Of which clip, for the error.

    Raises:
        VideoJamError: no mapping, a value that is no number, or a measure that the judge does not declare.
    """
    declared = [measure.name for measure in judge.measures]
    if not isinstance(returned, Mapping):
        raise _wrong_result(judge, clip, f"{type(returned).__name__} {str(returned)[:80]}", declared)
    if unknown := [name for name in returned if name not in declared]:
        raise _wrong_result(judge, clip, f"{unknown[0]!r}, which it does not declare", declared)
    scores: dict[str, float] = {}
    for name, value in returned.items():
        is_array = isinstance(value, (Tensor, np.ndarray, np.generic))
        plain = value.item() if is_array and math.prod(value.shape) == 1 else value
        if not isinstance(plain, Real):
            found = f"{name} = {type(value).__name__} {str(value)[:80]}"
            raise _wrong_result(judge, clip, found, declared)
        scores[name] = plain if isinstance(plain, float) else float(plain)  # a Verdict keeps its reasons
    return scores


def _wrong_result(judge: Judge, clip: str, found: str, declared: Sequence[str]) -> VideoJamError:
    return VideoJamError(
        expected=f"a dictionary with a number for each of {', '.join(declared)}",
        found=found,
        where=f"what the judge {judge.name} returned for the clip {clip}",
        fix="Correct `score` of the judge, and run the same command again; what is scored is kept.",
    )


def missing(scores: dict[str, float], judge: Judge) -> dict[str, str]:
    """Return the measures of a judge that a clip lacks (absent, NaN or infinite), each with its reason or ""."""
    values = {measure.name: scores.get(measure.name, math.nan) for measure in judge.measures}
    return {name: getattr(v, "reason", "") for name, v in values.items() if not math.isfinite(v)}
