"""What a bench found, in sentences: the first thing on the page and on the terminal."""

from __future__ import annotations

from dataclasses import dataclass

from videojam.bench.report.results import Results
from videojam.bench.report.statistics import Comparison
from videojam.bench.report.tables import shown_first
from videojam.evaluation.judge import Measure

FEW_PROMPTS = 50
"""Below this number a bench is for looking: an interval of a share is wider than 25 points."""
ALPHA = 0.05


@dataclass(frozen=True)
class Finding:
    """What a bench found.

    Attributes:
        first: The sentence of the arm that the bench is about; empty where there is nothing to compare.
        others: The same of the other arms.
        caution: What its size does not allow to say; may be empty.
    """

    first: str
    others: tuple[str, ...]
    caution: str


def find(results: Results) -> Finding:
    """Return the differences on the first measure: of the first arm that uses its own motion, else of the last."""
    measures = shown_first(results)
    comparisons = results.comparisons.get(measures[0].key, []) if measures else []
    comparisons = [c for c in comparisons if results.manifests[c.arm].kind != "world"]
    if not comparisons:
        return Finding("", (), "")
    main = next((c for c in comparisons if _uses_motion(results, c.arm)), comparisons[-1])
    num = results.suite["num_prompts"]
    caution = ""
    if num < FEW_PROMPTS:
        caution = (
            f"{num} prompt{'s are' if num > 1 else ' is'} for looking, not for ranking: the interval says how little "
            "they can show."
        )
    others = tuple(sentence(c, measures[0]) for c in comparisons if c is not main)
    return Finding(sentence(main, measures[0]), others, caution)


def sentence(c: Comparison, measure: Measure) -> str:
    """Say how two arms differ on a measure, with the interval and what follows from it."""
    i = c.difference
    mean, low, high = (_number(v, c, measure) for v in (i.mean, i.low, i.high))
    # Resampling prompts that are all alike gives an interval without a width, which would look like certainty.
    spread = f"the same on each of {i.n} prompts" if i.low == i.high else f"{low} to {high}"
    return f"{c.arm} minus {c.against}: {mean} {_of(measure)} ({spread}): {verdict(c, measure)}."


def verdict(c: Comparison, measure: Measure) -> str:
    """Say whether a difference is shown: its interval excludes zero, and so does the test."""
    if c.difference.low <= 0 <= c.difference.high or c.p_holm >= ALPHA:
        return "no difference shown"
    if measure.better == "neither":
        return "a difference"
    is_better = (c.difference.mean > 0) == (measure.better == "higher")
    return f"{c.arm} is {'better' if is_better else 'worse'}"


def _uses_motion(results: Results, arm: str) -> bool:
    facts = results.manifests[arm].facts
    return bool(facts.get("is_joint")) and not (facts.get("guidance") or {}).get("drop_motion")


def _number(value: float, c: Comparison, measure: Measure) -> str:
    if measure.percent and c.difference.n < 100:  # a clip is more than a point
        return f"{100 * value:+.0f}".replace("-", "−")
    return measure.show(value, signed=True)


def _of(measure: Measure) -> str:
    if measure.kind == "share":
        return f"points of {measure.title} clips"
    return (
        f"points of {measure.title}" if measure.percent else f"{measure.shown_unit} {measure.title}".strip()
    )
