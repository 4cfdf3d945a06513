"""Every figure of a study's report."""

from __future__ import annotations

import datetime
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from scipy import stats

from videojam import __version__
from videojam.evaluation.intervals import Interval, share
from videojam.study.statistics import (
    Majorities,
    Shares,
    krippendorff_alpha,
    majorities,
    strengths,
    vote_share,
    votes_needed,
)
from videojam.study.tally import RaterRow, Tally, Vote, agreement

DIFFERENCE = 0.05
"""For which the report says how many votes it takes."""


@dataclass(frozen=True)
class Compared:
    """Votes for an arm over another one, on one question.

    Attributes:
        arm: Whose votes are counted.
        other: The other one.
        question: Its name.
        category: Of prompts; None for all.
        votes: Share of votes.
        pairs: By majority.
        alpha: Krippendorff's, of which arm won a pair; None where there is nothing to compare.
        needed: Votes that show a difference of 5 points from one half with a power of 80 %, clustered as these are.
    """

    arm: str
    other: str
    question: str
    category: str | None
    votes: Shares
    pairs: Majorities
    alpha: float | None
    needed: int


@dataclass(frozen=True)
class SideBias:
    """Answers for A.

    Attributes:
        left: Share of answers.
        p: Two-sided exact binomial test against one half.
    """

    left: Interval
    p: float


@dataclass
class Results:
    """The report of a study.

    Attributes:
        study: Its id.
        title: Head of the raters' page.
        arms: The first is the one whose votes are reported.
        questions: Text by name.
        num_pairs: Pairs of the study.
        num_complete: Of them, those with as many counted votes as asked for.
        num_votes: Counted votes, a pair by a rater each.
        target: Votes asked for.
        rule: By which raters are left out.
        raters: All who voted.
        num_deleted: Raters who had their data deleted.
        num_invited: Raters who have not voted.
        compared: By arms and question, of all prompts.
        categories: The same for each category of prompts.
        side_bias: By question; "all" for all.
        repeats: Share of repeated answers that were the same again, by question and "all".
        checks: Share of check answers won by the clip in order, of all raters before the rule; None without checks.
        strengths: Bradley–Terry log strengths by question and arm, where there are more than two arms.
        problems: What a reader must know.
        unmatched: Clips in no pair, with the reason.
        made_at: Date.
        version: Of videojam.
    """

    study: str
    title: str
    arms: tuple[str, ...]
    questions: dict[str, str]
    num_pairs: int
    num_complete: int
    num_votes: int
    target: int
    rule: str
    raters: list[RaterRow]
    num_deleted: int
    num_invited: int
    compared: list[Compared]
    categories: list[Compared]
    side_bias: dict[str, SideBias]
    repeats: dict[str, Interval]
    checks: Interval | None
    strengths: dict[str, dict[str, Interval]]
    problems: list[str]
    unmatched: dict[str, str]
    made_at: str = field(default_factory=lambda: datetime.date.today().isoformat())
    version: str = __version__


def build_results(tally: Tally) -> Results:
    """Compute every figure from the votes."""
    study, votes = tally.study, tally.counted()
    questions = {question.name: question.text for question in study.config.questions}
    per_pair: dict[str, set[int]] = {}
    for vote in votes:
        per_pair.setdefault(vote.pair.id, set()).add(vote.rater)
    asked = study.config.raters_per_pair
    found_strengths, problems = _strengths(study.arms, list(questions), votes)
    categories = list(dict.fromkeys(pair.category for pair in study.pairs if pair.category))
    return Results(
        study=study.id,
        title=study.config.title,
        arms=study.arms,
        questions=questions,
        num_pairs=len(study.pairs),
        num_complete=sum(len(per_pair.get(pair.id, ())) >= asked for pair in study.pairs),
        num_votes=sum(map(len, per_pair.values())),
        target=asked * len(study.pairs),
        rule=rule_words(tally),
        raters=tally.raters,
        num_deleted=tally.num_deleted,
        num_invited=tally.num_invited,
        compared=_compared(votes, list(questions), None),
        categories=[
            one
            for name in categories
            for one in _compared([v for v in votes if v.pair.category == name], list(questions), name)
        ],
        side_bias={
            name: _side_bias(some)
            for name in (*questions, "all")
            if (some := [v for v in votes if name in (v.question, "all")])
        },
        repeats=_repeats(tally, list(questions)),
        checks=_checks(tally),
        strengths=found_strengths,
        problems=problems + _problems(tally, votes),
        unmatched=study.unmatched,
    )


def rule_words(tally: Tally) -> str:
    """Return the rule of exclusion in a sentence."""
    rule = tally.study.config.exclusion
    checks = f"passed less than {100 * rule.min_checks_passed:.0f} % of their attention checks, or "
    return (
        f"Fixed before the first vote: a rater is left out who {checks if tally.study.checks else ''}gave more than "
        f"{100 * rule.max_side_share:.0f} % of at least {rule.min_answers_for_side} answers on one side."
    )


def _compared(votes: list[Vote], questions: Sequence[str], category: str | None) -> list[Compared]:
    groups: dict[tuple[str, str], list[Vote]] = {}
    for vote in votes:
        groups.setdefault(vote.pair.arms, []).append(vote)
    return [
        _compare(arms, question, category, [v for v in some if v.question == question])
        for arms, some in groups.items()
        for question in questions
        if any(v.question == question for v in some)
    ]


def _compare(arms: tuple[str, str], question: str, category: str | None, votes: list[Vote]) -> Compared:
    by_pair: dict[Hashable, list[bool]] = {}
    for vote in votes:
        by_pair.setdefault(vote.pair.id, []).append(vote.first_won)
    shares = vote_share(
        [v.first_won for v in votes], [v.pair.prompt_id for v in votes], [v.rater for v in votes]
    )
    return Compared(
        *arms,
        question,
        category,
        shares,
        majorities(by_pair),
        krippendorff_alpha(list(by_pair.values())),
        votes_needed(DIFFERENCE, max(1.0, shares.design_effect)),
    )


def _side_bias(votes: list[Vote]) -> SideBias:
    left = sum(vote.left_won for vote in votes)
    return SideBias(share(left, len(votes)), float(stats.binomtest(left, len(votes)).pvalue))


def _repeats(tally: Tally, questions: Sequence[str]) -> dict[str, Interval]:
    kept = tally.counted("pair") + tally.counted("repeat")
    found = {}
    for name in (*questions, "all"):
        same = agreement([v for v in kept if name in (v.question, "all")])
        if same:
            found[name] = share(sum(same), len(same))
    return found


def _checks(tally: Tally) -> Interval | None:
    answers = sum(row.record.num_checks for row in tally.raters)
    return share(sum(row.record.num_passed for row in tally.raters), answers) if answers else None


def _strengths(
    arms: tuple[str, ...], questions: Sequence[str], votes: list[Vote]
) -> tuple[dict[str, dict[str, Interval]], list[str]]:
    if len(arms) < 3:
        return {}, []
    found, problems = {}, []
    for name in questions:
        some = [v for v in votes if v.question == name]
        if not some:
            continue
        one = strengths([(*v.pair.arms, v.first_won) for v in some], [v.pair.prompt_id for v in some], arms)
        if one is None:
            problems.append(
                f"{name}: no Bradley–Terry strengths, since the votes don't tie all arms together"
            )
        else:
            found[name] = one
    return found, problems


def _problems(tally: Tally, votes: list[Vote]) -> list[str]:
    problems = [
        f"rater {row.rater} ({row.label}) left out: {row.excluded}" for row in tally.raters if row.excluded
    ]
    if not votes:
        problems.append("no votes that count yet")
    return problems
