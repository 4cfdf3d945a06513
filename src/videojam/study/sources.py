"""Where the clips are: arms of benches and folders of clips, matched by prompt."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from videojam.bench.folder import Bench
from videojam.bench.make.suites import normalise
from videojam.errors import VideoJamError
from videojam.evaluation.external.clips import clips_of_folder

Key = tuple[str, int]
"""A prompt without what editors change, and which of its clips."""


@dataclass(frozen=True)
class SourceClip:
    """A clip of an arm.

    Attributes:
        path: Its file.
        prompt_id: Of the suite, or the file's name.
        prompt: Its text.
        category: Of the prompt.
    """

    path: Path
    prompt_id: str
    prompt: str
    category: str | None = None


@dataclass(frozen=True)
class Match:
    """Two clips of one prompt.

    Attributes:
        arms: First and second arm.
        clips: Theirs.
    """

    arms: tuple[str, str]
    clips: tuple[SourceClip, SourceClip]


@dataclass
class Matches:
    """What can be compared.

    Attributes:
        pairs: In the order of the first arm's prompts.
        unmatched: Clips in no pair, with the reason.
    """

    pairs: list[Match] = field(default_factory=list)
    unmatched: dict[str, str] = field(default_factory=dict)


def find_arms(sources: Sequence[str], only: Sequence[str] = ()) -> dict[str, dict[Key, SourceClip]]:
    """Find the clips of each arm.

    Args:
        sources: Bench folders, or NAME=FOLDER of clips with a .txt beside each.
        only: Arms to take, in this order; all if empty.

    Raises:
        VideoJamError: no bench and no NAME=FOLDER, an arm twice, an arm that isn't there, or fewer than two.
    """
    arms: dict[str, dict[Key, SourceClip]] = {}
    for source in sources:
        for name, clips in _arms_of(source).items():
            if name in arms:
                raise _unfit("arms of different names", f"{name!r} twice", source, "Name one NAME=FOLDER.")
            arms[name] = clips
    for name in only:
        if name not in arms:
            raise _unfit(f"one of the arms {', '.join(arms)}", repr(name), "--arm", "Correct the name.")
    chosen = {name: arms[name] for name in (only or arms)}
    if len(chosen) < 2:
        found = f"only {', '.join(chosen) or 'none'}"
        raise _unfit("two arms or more", found, ", ".join(sources), "Give another bench, or NAME=FOLDER.")
    return chosen


def match_by_prompt(arms: dict[str, dict[Key, SourceClip]], *, every: bool = False) -> Matches:
    """Pair the clips of the same prompt: the first arm with each other one, or every two arms.

    Raises:
        VideoJamError: no prompt is in two arms.
    """
    names, found = list(arms), Matches()
    against = list(combinations(names, 2)) if every else [(names[0], name) for name in names[1:]]
    paired: set[tuple[str, Key]] = set()
    for first, second in against:
        for key, clip in arms[first].items():
            other = arms[second].get(key)
            if other is not None:
                found.pairs.append(Match((first, second), (clip, other)))
                paired |= {(first, key), (second, key)}
            else:
                found.unmatched[f"{first}/{clip.path.name} against {second}"] = (
                    f"{second} has no clip of this prompt"
                )
        for key, clip in arms[second].items():
            if key not in arms[first]:
                found.unmatched[f"{second}/{clip.path.name} against {first}"] = (
                    f"{first} has no clip of this prompt"
                )
    if not found.pairs:
        examples = "; ".join(
            f"{name}: {next(iter(clips))[0][:40]!r}" for name, clips in arms.items() if clips
        )
        raise _unfit("clips of the same prompt in two arms", f"none ({examples})", ", ".join(names),
                     "Give arms of one suite, or the same text in the .txt files.")  # fmt: skip
    return found


def drawn(matches: Matches, num_prompts: int | None, seed: int) -> Matches:
    """Return the pairs of some prompts, drawn at random; of all if no number is given."""
    prompts = list(dict.fromkeys(normalise(pair.clips[0].prompt) for pair in matches.pairs))
    if num_prompts is None or num_prompts >= len(prompts):
        return matches
    kept = set(random.Random(seed).sample(prompts, num_prompts))
    return Matches([p for p in matches.pairs if normalise(p.clips[0].prompt) in kept], matches.unmatched)


def _arms_of(source: str) -> dict[str, dict[Key, SourceClip]]:
    name, equals, folder = source.partition("=")
    if (Path(source) / "bench.json").exists():
        bench = Bench.open(source)
        return {arm: _clips_of_arm(bench, arm) for arm in bench.arms}
    if not equals or not name:
        raise _unfit("a bench folder, or NAME=FOLDER of clips", repr(source), "arguments of `study new`",
                     "Give the --out of a `videojam bench run`, or a name for the folder: NAME=FOLDER.")  # fmt: skip
    clips: dict[Key, SourceClip] = {}
    numbers: Counter[str] = Counter()
    for clip in clips_of_folder(folder):
        text = normalise(clip.prompt)
        clips[text, numbers[text]] = SourceClip(clip.path, clip.name, clip.prompt)
        numbers[text] += 1
    return {name: clips}


def _clips_of_arm(bench: Bench, arm: str) -> dict[Key, SourceClip]:
    """Return an arm's clips; those of one text are numbered over the suite, which may hold a text several times."""
    numbers: Counter[str] = Counter()
    clips: dict[Key, SourceClip] = {}
    for item in bench.items:
        text, path = normalise(item.prompt.text), bench.clip(arm, item)
        key = text, numbers[text]
        numbers[text] += 1  # also for a clip that is missing, so that both arms count alike
        if path.exists():
            clips[key] = SourceClip(path, item.prompt.id, item.prompt.text, item.prompt.category)
    return clips


def _unfit(expected: str, found: str, where: str, fix: str) -> VideoJamError:
    return VideoJamError(expected=expected, found=found, where=where, fix=fix)
