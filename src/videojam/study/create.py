"""A new study: pairs, checks, practice, and clips under random names, in a folder that appears whole."""

from __future__ import annotations

import datetime
import random
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from videojam.bench.folder import write_sealed
from videojam.bench.make.suites import normalise
from videojam.errors import CannotWriteError, VideoJamError
from videojam.files import written_whole
from videojam.study.clips import copy_for_raters, write_check
from videojam.study.config import STUDY_FILE, Pair, Study, StudyConfig
from videojam.study.database import Database
from videojam.study.sources import Match, Matches, SourceClip, drawn, find_arms, match_by_prompt

MANY = 4
"""Clips tried for each check before giving up: some hardly move."""


@dataclass(frozen=True)
class Asked:
    """What is compared.

    Attributes:
        sources: Bench folders, or NAME=FOLDER.
        arms: Which, in this order; all if empty.
        every: Every two arms, not only the first with each other one.
        num_prompts: Prompts drawn at random; all if None.
    """

    sources: Sequence[str]
    arms: Sequence[str] = ()
    every: bool = False
    num_prompts: int | None = None


def new_study(
    out: Path, asked: Asked, config: StudyConfig, follow: Callable[[int, int], None] | None = None
) -> Study:
    """Make a study.

    Args:
        out: Folder to write; it must not exist yet.
        asked: What is compared.
        config: How.
        follow: Called with the number of pairs copied and of all.

    Raises:
        VideoJamError: arms, clips or prompts that don't fit, or no room.
    """
    arms = find_arms(asked.sources, asked.arms)
    matches = drawn(match_by_prompt(arms, every=asked.every), asked.num_prompts, config.seed)
    with written_whole(out) as folder:
        clips = folder / "clips"
        clips.mkdir(parents=True)
        pairs = list(_pairs(clips, matches, follow))
        if not pairs:
            reasons = "; ".join(list(matches.unmatched.values())[:3])
            raise VideoJamError(
                expected="a pair whose two clips can be read", found=f"none: {reasons}", where=str(out),
                fix="Make the clips again.",
            )  # fmt: skip
        practice, checks = _practice(pairs, list(_checks(clips, matches, config)), config)
        study = Study(
            id=secrets.token_hex(8),
            made_at=datetime.date.today().isoformat(),
            config=config,
            arms=tuple(arms),
            pairs=tuple(pairs),
            checks=checks,
            practice=practice,
            source=", ".join(asked.sources),
            unmatched=matches.unmatched,
        )
        write_study(folder, study)
    return study


def write_study(folder: Path, study: Study) -> None:
    """Write `study.json` and an empty database."""
    write_sealed(folder / STUDY_FILE, study.model_dump(mode="json"))
    Database.create(folder, study).close()


def lengths(study: Study) -> dict[str, float]:
    """Return the mean duration of each arm's clips, in s."""
    found: dict[str, list[float]] = {}
    for pair in study.pairs:
        for arm, seconds in zip(pair.arms, pair.durations_s, strict=True):
            found.setdefault(arm, []).append(seconds)
    return {arm: sum(seconds) / len(seconds) for arm, seconds in found.items()}


def _pairs(clips: Path, matches: Matches, follow: Callable[[int, int], None] | None) -> Iterator[Pair]:
    """Copy the clips of each pair; a clip of several pairs has a name for each, so that names say nothing."""
    prompts: dict[str, str] = {}
    for number, match in enumerate(matches.pairs, start=1):
        names = (_name(), _name())
        try:
            first_s, second_s = (
                round(copy_for_raters(clip.path, clips / f"{name}.mp4"), 3)
                for clip, name in zip(match.clips, names, strict=True)
            )
        except CannotWriteError:
            raise
        except VideoJamError as error:
            for name in names:
                (clips / f"{name}.mp4").unlink(missing_ok=True)
            matches.unmatched[_words(match)] = f"{error.where}: {error.found}"
            continue
        first = match.clips[0]
        yield Pair(
            id=_name(),
            prompt_id=prompts.setdefault(normalise(first.prompt), first.prompt_id),
            prompt=first.prompt,
            category=first.category,
            arms=match.arms,
            clips=names,
            durations_s=(first_s, second_s),
        )
        if follow:
            follow(number, len(matches.pairs))


def _checks(clips: Path, matches: Matches, config: StudyConfig) -> Iterator[Pair]:
    """Make one check for each of the clips that move visibly, and one more for practice.

    Raises:
        VideoJamError: checks are asked for, and shuffling could be seen in none of the clips tried.
    """
    wanted = config.num_checks + (config.practice and config.num_checks > 0)
    tried = [
        (arm, clip) for match in matches.pairs for arm, clip in zip(match.arms, match.clips, strict=True)
    ]
    random.Random(config.seed).shuffle(tried)
    seen: set[Path] = set()
    made = 0
    for arm, clip in tried[: MANY * wanted]:
        if made == wanted:
            return
        if clip.path in seen:
            continue
        seen.add(clip.path)
        check = _check(clips, arm, clip, config.seed + made)
        if check is not None:
            made += 1
            yield check
    if wanted and not made:
        raise VideoJamError(
            expected="clips of which a rater can see that their frames were shuffled",
            found=f"none of {len(seen)} that were tried: too short, or hardly any motion",
            where="attention checks",
            fix="Make the study without them: --checks 0.",
        )


def _check(clips: Path, arm: str, clip: SourceClip, seed: int) -> Pair | None:
    names = (_name(), _name())
    try:
        duration = write_check(clip.path, clips / f"{names[0]}.mp4", clips / f"{names[1]}.mp4", seed)
    except CannotWriteError:
        raise
    except VideoJamError:  # listed already, where its pair was copied
        return None
    if duration is None:
        return None
    return Pair(
        id=_name(), prompt_id=clip.prompt_id, prompt=clip.prompt, category=clip.category, arms=(arm, "shuffled"),
        clips=names, durations_s=(duration, duration),
    )  # fmt: skip


def _practice(
    pairs: list[Pair], checks: list[Pair], config: StudyConfig
) -> tuple[Pair | None, tuple[Pair, ...]]:
    """Return the pair for practice and the checks left: a check where there are two, else a pair of the study."""
    if not config.practice:
        return None, tuple(checks)
    if len(checks) > 1:
        return checks[-1], tuple(checks[:-1])
    return pairs[0].model_copy(update={"id": _name()}), tuple(checks)


def _name() -> str:
    return secrets.token_hex(12)


def _words(match: Match) -> str:
    return f"{match.arms[0]}/{match.clips[0].path.name} against {match.arms[1]}"
