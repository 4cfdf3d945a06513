"""What a study is: `study.json`, written once by `videojam study new` and never changed afterwards.

DIR/study.json     questions, arms, pairs, checks and the rule of exclusion; sealed with a hash
DIR/clips/ID.mp4   the clips under random names, without sound and metadata
DIR/votes.sqlite   raters, assignments and votes
DIR/report/        results.json, results.csv, votes.csv, raters.csv, index.html
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from videojam.bench.folder import read_sealed
from videojam.errors import VideoJamError
from videojam.misfits import key_of, reason, wanted
from videojam.reading import read_text
from videojam.strict import Seed

FORMAT = 1
STUDY_FILE = "study.json"
SECONDS_A_PAIR = 15.0
"""Of rating, for the budget; by which 640 votes take 2.7 hours."""


class Question(BaseModel):
    """One question, asked of every pair."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Column of the results.")
    text: str = Field(min_length=1, max_length=500, description="What the rater reads.")
    about_prompt: bool = Field(False, description="Whether the prompt is shown as what to compare with.")
    check: bool = Field(False, description="Whether a clip in the right order must win it in a check.")


QUESTIONS = (
    Question(name="text_faithfulness", text="Which clip matches the caption better?", about_prompt=True),
    Question(name="quality", text="Which clip looks better?"),
    Question(
        name="motion",
        text="Which clip has the more coherent and physically plausible motion, even if it looks worse?",
        check=True,
    ),
)
"""By the names of the paper's columns; the wording follows that of later users of its benchmark."""

CONSENT = (
    "You will compare short silent clips in pairs. We store your choices, how long each took, and, if you came "
    "from a crowd platform, your id there. Nothing else is stored, taking part is voluntary, and you can stop at any "
    "time. With “Delete my data” you can have everything removed that you gave, at any time while the study runs."
)
INSTRUCTIONS = (
    "Two clips play side by side. Watch both to the end once; then answer each question with A or B. There is no "
    "tie: choose the better one, even if the difference is small."
)


class Exclusion(BaseModel):
    """Which raters are left out of the figures; fixed before the first vote."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_checks_passed: float = Field(0.75, ge=0, le=1, description="Least share of attention checks passed.")
    max_side_share: float = Field(0.95, gt=0.5, le=1, description="Most answers on one side, as a share.")
    min_answers_for_side: int = Field(30, ge=1, description="Answers below which the side isn't looked at.")


class StudyConfig(BaseModel):
    """What can be chosen, in a YAML file (`--config`) or by flags."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = Field("Which clip is better?", min_length=1, description="Head of the page; names no model.")
    questions: tuple[Question, ...] = Field(QUESTIONS, min_length=1, description="Asked of every pair.")
    consent: str = Field(
        CONSENT, min_length=1, description="What a rater agrees to before anything is stored."
    )
    instructions: str = Field(INSTRUCTIONS, min_length=1, description="How to rate, on the second page.")
    contact: str = Field("", description="Whom a rater can write to; shown with the consent.")
    raters_per_pair: int = Field(5, ge=1, description="Votes that each pair is to get.")
    pairs_per_rater: int = Field(40, ge=1, description="Most pairs that one rater is asked for.")
    check_share: float = Field(
        0.1, ge=0, le=1, description="Attention checks, as a share of a rater's pairs."
    )
    num_checks: int = Field(8, ge=0, description="Different attention checks that are made.")
    repeat_share: float = Field(
        0.1, ge=0, le=1, description="Pairs shown again with sides flipped, as a share."
    )
    practice: bool = Field(True, description="Whether the first pair is for practice, with an explanation.")
    timeout_s: float = Field(600, gt=0, description="After which a pair not voted on is given to others.")
    exclusion: Exclusion = Field(Exclusion(), description="Which raters are left out of the figures.")
    completion_url: str = Field(
        "", description="Where a rater of a crowd goes at the end, with the code in it."
    )
    completion_code: str = Field(
        "", description="Code shown to all at the end; one of its own for each if empty."
    )
    seed: Seed = Field(0, description="Of the choice of prompts and of the shuffled frames.")

    @model_validator(mode="after")
    def _questions_fit(self) -> StudyConfig:
        names = [question.name for question in self.questions]
        if len(set(names)) < len(names):
            raise ValueError("two questions have one name")
        if self.num_checks and not any(question.check for question in self.questions):
            raise ValueError("attention checks need a question with check: true (or num_checks: 0)")
        if self.completion_url and not self.completion_url.startswith("https://"):
            raise ValueError("completion_url must start with https://")
        return self


class Pair(BaseModel):
    """Two clips of one prompt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(description="Random; all that the page learns of the pair.")
    prompt_id: str = Field(description="Prompts are what is resampled.")
    prompt: str = Field(description="Its text.")
    category: str | None = Field(None, description="Of the prompt.")
    arms: tuple[str, str] = Field(description="First and second arm.")
    clips: tuple[str, str] | None = Field(None, description="Random names of their files; None if imported.")
    durations_s: tuple[float, float] = Field((0, 0), description="Of both clips.")

    @property
    def duration_s(self) -> float:
        """Of the longer clip."""
        return max(self.durations_s)


class Study(BaseModel):
    """`study.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = Field(FORMAT, description="Of this file and of the database beside it.")
    id: str = Field(description="Random; the database names it too.")
    made_at: str = Field(description="Date.")
    config: StudyConfig = Field(description="What was chosen.")
    arms: tuple[str, ...] = Field(min_length=2, description="The first is the one whose votes are reported.")
    pairs: tuple[Pair, ...] = Field(min_length=1, description="What is voted on.")
    checks: tuple[Pair, ...] = Field(
        (), description="The true clip first, the one of shuffled frames second."
    )
    practice: Pair | None = Field(None, description="Like a check; shown first, with an explanation.")
    source: str = Field("", description="Bench or folders that the clips are from, or files of votes.")
    unmatched: dict[str, str] = Field({}, description="Clips that are in no pair, with the reason.")

    @property
    def questions(self) -> tuple[str, ...]:
        """Names of the questions."""
        return tuple(question.name for question in self.config.questions)

    @property
    def check_questions(self) -> tuple[str, ...]:
        """Names of the questions that a check looks at."""
        return tuple(question.name for question in self.config.questions if question.check)


def budget(study: Study) -> str:
    """Return what the study asks of its raters, in one line."""
    config, prompts = study.config, len({pair.prompt_id for pair in study.pairs})
    per_prompt = len(study.pairs) / prompts
    pairs = f"{prompts} prompts" + (f" × {per_prompt:.3g} pairs" if per_prompt != 1 else "")
    votes = len(study.pairs) * config.raters_per_pair
    hours = votes * SECONDS_A_PAIR / 3600
    more = config.check_share * bool(study.checks) + config.repeat_share
    extra = f"; checks and repeats add {100 * more:.0f} %" if more else ""
    return (
        f"{pairs} × {config.raters_per_pair} raters = {votes} votes, about {hours:.1f} h of rating "
        f"(at {SECONDS_A_PAIR:g} s a pair{extra})"
    )


def load_config(path: Path | None, **flags: Any) -> StudyConfig:
    """Read a config from YAML; flags that were given replace its keys.

    Raises:
        VideoJamError: no such file, no YAML, or a key or value that doesn't fit, by name.
    """
    content: Any = {}
    if path is not None:
        try:
            read = yaml.safe_load(read_text(path, "a YAML file with keys of a study"))
            content = {} if read is None else read  # an empty file
        except yaml.YAMLError as error:
            raise _unfit(path, "a YAML file", str(error).splitlines()[0]) from None
        if not isinstance(content, dict):
            raise _unfit(path, "keys with values", f"a {type(content).__name__}")
    try:
        return StudyConfig.model_validate(content | {k: v for k, v in flags.items() if v is not None})
    except ValidationError as error:
        first = error.errors()[0]
        key = key_of(first) or "the questions"
        raise _unfit(path, f"{key}: {wanted(first)}", repr(first["input"])[:80]) from None


def load_study(folder: Path) -> Study:
    """Read `study.json`.

    Raises:
        VideoJamError: no study there, one of another version, or one that was edited.
    """
    path = folder / STUDY_FILE
    try:
        content = read_sealed(path)
        if content.get("format") != FORMAT:
            raise ValueError(f"format {content.get('format')!r}")
        return Study.model_validate(content)
    except (OSError, ValueError) as error:
        raise VideoJamError(
            expected=f"a study folder with {STUDY_FILE} of format {FORMAT}, as videojam wrote it",
            found=reason(error),
            where=str(path),
            fix="Give the --out of `videojam study new`; a study can't be changed after it was made: make a new one.",
        ) from None


def require_clips(folder: Path, study: Study) -> None:
    """Refuse a study that nobody can rate.

    Args:
        folder: Of the study.
        study: The study.

    Raises:
        VideoJamError: its votes were imported, without clips.
    """
    if any(pair.clips is None for pair in study.pairs):
        raise VideoJamError(
            expected="a study with clips",
            found="votes that were imported, without clips",
            where=str(folder),
            fix="Make a study of the clips with `videojam study new`.",
        )


def _unfit(path: Path | None, expected: str, found: str) -> VideoJamError:
    fix = (
        "Correct the key; docs/human-study.md lists them."
        if path
        else "Correct the flag; --help describes it."
    )
    return VideoJamError(expected=expected, found=found, where=str(path or "options of the study"), fix=fix)
