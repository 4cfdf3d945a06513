"""A bench on disk: the suite, a folder of clips for each arm, scores, and the report.

OUT/bench.json                  suite and number of seeds
OUT/arms/ARM/manifest.json      what made the clips
OUT/arms/ARM/ID_sSEED.mp4       a clip; the predicted motion beside it as .motion.mp4
OUT/arms/ARM/failed.RANK.jsonl  clips that could not be made, with the reason
OUT/scores/ARM.RANK.jsonl       one line for each clip and judge
OUT/probes/*.json               results of `videojam probe`, for the report
OUT/human/*.json                votes of people, of `videojam study report --bench`, for the report
OUT/results.json, OUT/index.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from videojam import files, fingerprints
from videojam.bench.make.suites import Prompt, Suite
from videojam.errors import VideoJamError
from videojam.limits import MAX_SEEDS
from videojam.misfits import reason
from videojam.store import WRITE_FIX, append_row, read_rows
from videojam.strict import Strict

FORMAT = 1
FAILURE_KEYS = ("clip", "reason")
OURS = ("index.html", "results.json", "arms", "scores")
"""What a bench writes beside `bench.json`."""


@dataclass(frozen=True)
class Item:
    """One clip to be made or judged, the same in each arm.

    Attributes:
        prompt: Its prompt.
        seed: 0 for the first clip of a prompt, 1 for the second, …
        noise_seed: Seed of the noise, the same in each arm.
    """

    prompt: Prompt
    seed: int
    noise_seed: int

    @property
    def key(self) -> str:
        """Name of the clip, without suffix."""
        return f"{self.prompt.id}_s{self.seed}"


class BenchFile(Strict):
    """`bench.json`."""

    format: int = Field(FORMAT, description="Of this file.")
    suite: Suite = Field(description="With every prompt, so that the folder is complete in itself.")
    num_seeds: int = Field(1, ge=1, le=MAX_SEEDS, description="Clips of each prompt.")
    title: str = Field("", description="Head of the page; the suite's name if empty.")
    about: str = Field("", description="What the bench compares, for the top of the page.")

    def items(self) -> list[Item]:
        """Return every clip of an arm: seed by seed, so that the first pass covers all prompts."""
        return [
            Item(prompt, seed, noise_seed(prompt, number, seed))
            for seed in range(self.num_seeds)
            for number, prompt in enumerate(self.suite.prompts)
        ]


def noise_seed(prompt: Prompt, number: int, seed: int) -> int:
    """Return the seed of a clip's noise: the scene's seed or the prompt's number, plus 10⁹ for each seed."""
    return (number if prompt.seed is None else prompt.seed) + 10**9 * seed


class Bench:
    """A bench folder."""

    def __init__(self, folder: str | Path, file: BenchFile) -> None:
        self.folder, self.file = Path(folder), file
        self.items = file.items()

    @classmethod
    def open(cls, folder: str | Path) -> Bench:
        """Open a bench that exists.

        Raises:
            VideoJamError: no bench there, one of another version, or one whose file was edited.
        """
        path = Path(folder) / "bench.json"
        try:
            content = read_sealed(path)
            if content.get("format") != FORMAT:
                raise _unfit(path, f"format {content.get('format')!r}")
            return cls(folder, BenchFile.model_validate(content))
        except (OSError, ValueError) as error:
            raise _unfit(path, reason(error)) from None

    @classmethod
    def create(cls, folder: str | Path, suite: Suite, num_seeds: int = 1, **words: str) -> Bench:
        """Make a bench, or open the one that is there with more prompts or seeds of the same suite.

        Args:
            folder: Where.
            suite: Its prompts.
            num_seeds: Clips of each prompt.
            words: `title` and `about` of its page; those that are there stay where none are given.

        Raises:
            VideoJamError: the folder holds another suite, none of the prompts, or files that are no bench's; no room or
                permission.
        """
        path = Path(folder) / "bench.json"
        if path.exists():
            old = cls.open(folder).file
            check_same_suite(path, old.suite, suite)
            words = {"title": old.title, "about": old.about, **{k: v for k, v in words.items() if v}}
        else:
            _check_free(Path(folder))
        bench = cls(folder, BenchFile(suite=suite, num_seeds=num_seeds, **words))
        write_sealed(path, bench.file.model_dump(mode="json", exclude_defaults=True) | {"format": FORMAT})
        return bench

    @classmethod
    @contextmanager
    def begun(cls, folder: str | Path, suite: Suite, num_seeds: int = 1, **words: str) -> Iterator[Bench]:
        """Yield the bench of `create` to a call that adds clips; one that is refused before it has is undone.

        Args:
            folder: As in `create`.
            suite: As in `create`.
            num_seeds: As in `create`.
            words: As in `create`.

        Raises:
            VideoJamError: as `create`.
        """
        path = Path(folder) / "bench.json"
        before = path.read_text(encoding="utf-8") if path.is_file() else None
        clips = set(Path(folder).glob("arms/*/*.mp4"))
        bench = cls.create(folder, suite, num_seeds, **words)
        try:
            yield bench
        except VideoJamError:
            if before is not None and set(bench.folder.glob("arms/*/*.mp4")) == clips:
                write_text(path, before)
            raise
        finally:
            bench.forget_if_empty()

    def forget_if_empty(self) -> None:
        """Remove a bench that holds no arm yet, so that a call that was refused leaves nothing behind."""
        arms = sorted(self.folder.glob("arms/*"))
        for arm in arms:
            files.remove_empty([arm])
        if any(arm.exists() for arm in arms):
            return
        files.remove_empty([self.folder / "arms"])
        (self.folder / "bench.json").unlink(missing_ok=True)

    @property
    def arms(self) -> list[str]:
        """Names of the arms that have a manifest, in the order in which they were made."""
        manifests = sorted(self.folder.glob("arms/*/manifest.json"), key=_made_at)
        return [path.parent.name for path in manifests]

    def ordered(self, first: Sequence[str]) -> list[str]:
        """Return all arms, some of them first."""
        return [*first, *(name for name in self.arms if name not in first)]

    def unknown(self, arm: str, known: Collection[str] = ()) -> VideoJamError:
        """Return the error of an arm that isn't there.

        Args:
            arm: Its name.
            known: Names that are there, or that will be; those that have a manifest, if not given.
        """
        names = ", ".join(dict.fromkeys(known or self.arms)) or "it has none yet"
        return VideoJamError(
            expected=f"one of the bench's arms: {names}",
            found=repr(arm),
            where=str(self.folder),
            fix="Correct the name, or generate or import its clips first.",
        )

    def arm_folder(self, arm: str) -> Path:
        """Return the folder of an arm's clips."""
        return self.folder / "arms" / arm

    def clip(self, arm: str, item: Item) -> Path:
        """Return where an arm's clip is, or is to be."""
        return self.arm_folder(arm) / f"{item.key}.mp4"

    def motion(self, arm: str, item: Item) -> Path:
        """Return where the predicted motion of a clip is, or is to be."""
        return self.arm_folder(arm) / f"{item.key}.motion.mp4"

    def failures(self, arm: str) -> dict[str, str]:
        """Return the reasons of clips that could not be made, by clip."""
        paths = sorted(self.arm_folder(arm).glob("failed.*.jsonl"))
        lines = (line for path in paths for line in read_rows(path, FAILURE_KEYS, _all_text))
        return {line["clip"]: line["reason"] for line in lines}

    def note_failure(self, arm: str, item: Item, reason: str, rank: int) -> None:
        """Write down that a clip could not be made."""
        path = self.arm_folder(arm) / f"failed.{rank}.jsonl"
        append_row(path, {"clip": item.key, "reason": reason})

    def read_scores(
        self, arm: str, keys: Collection[str] = (), fits: Callable[[dict[str, Any]], bool] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield every line of an arm's scores, of all ranks, the older ones first; see `store.read_rows`."""
        for path in self.score_files(arm):
            yield from read_rows(path, keys, fits)

    def score_files(self, arm: str) -> list[Path]:
        """Return the files of an arm's scores, one for each rank that has scored."""
        paths = (self.folder / "scores").glob(f"{arm}.*.jsonl")  # those of an arm `ARM.0`, too
        return sorted(p for p in paths if p.name[len(arm) + 1 : -len(".jsonl")].isdigit())


def _all_text(failure: dict[str, Any]) -> bool:
    return all(isinstance(failure[key], str) for key in FAILURE_KEYS)


def write_json(path: Path, content: dict[str, Any]) -> Path:
    """Write a JSON file whole or not at all.

    Raises:
        VideoJamError: no room or permission.
    """
    return write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> Path:
    """Write a text file whole or not at all.

    Raises:
        VideoJamError: no room or permission.
    """
    return files.write_text(path, text, WRITE_FIX)


def write_sealed(path: Path, content: dict[str, Any]) -> Path:
    """Write a JSON file with a hash of its content, by which `read_sealed` sees that nobody edited it.

    Raises:
        VideoJamError: no room or permission.
    """
    return write_json(path, {**content, "sha256": fingerprints.of_data(content)})


def read_sealed(path: Path) -> dict[str, Any]:
    """Return the content of a file of `write_sealed`; one without a hash, of an earlier version, is taken as it is.

    Raises:
        OSError: it can't be read.
        ValueError: it is no JSON object, or it was edited.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"a JSON {type(content).__name__}")
    seal = content.pop("sha256", None)
    if seal is not None and seal != fingerprints.of_data(content):
        raise ValueError("content that was edited since videojam wrote it: it does not fit its sha256")
    return content


def _made_at(manifest: Path) -> tuple[float, str]:
    try:  # what is wrong with a manifest is said where it is read
        made = float(json.loads(manifest.read_text(encoding="utf-8"))["made_at"])
    except (OSError, ValueError, KeyError, TypeError):
        made = 0.0
    return made, manifest.parent.name


def _check_free(folder: Path) -> None:
    """Refuse a folder in which a bench would write over what is not its own."""
    taken = [name for name in OURS if (folder / name).exists()]
    if taken or folder.is_file():
        raise VideoJamError(
            expected="a new folder for the bench, or one with a bench.json",
            found=f"{', '.join(taken)} without a bench.json" if taken else "a file",
            where=str(folder),
            fix="Choose another --out, or move what is there away.",
        )


def check_same_suite(path: Path, old: Suite, new: Suite) -> None:
    """Refuse prompts that a clip of this folder was not made for; more prompts, or fewer, are fine."""
    known = {prompt.id: prompt for prompt in old.prompts}
    for prompt in new.prompts:
        other = known.get(prompt.id, prompt)
        if old.name != new.name or (other.text, other.seed) != (prompt.text, prompt.seed):
            raise VideoJamError(
                expected=f"the suite {old.name!r} that this bench was begun with",
                found=f"{new.name!r}, whose prompt {prompt.id} reads {prompt.text[:60]!r}",
                where=str(path),
                fix="Choose another --out for another suite.",
            )
    if not known.keys() & {prompt.id for prompt in new.prompts}:
        raise VideoJamError(
            expected=f"prompts of the suite {old.name!r} that this bench was begun with, at least one",
            found=f"none of its {len(known)}; the first asked for is {new.prompts[0].id}",
            where=str(path),
            fix="Choose another --out for other prompts.",
        )


def _unfit(path: Path, found: str) -> VideoJamError:
    return VideoJamError(
        expected=f"a bench folder with bench.json of format {FORMAT}",
        found=found,
        where=str(path),
        fix="Give the --out of a `videojam bench run`, or another --out to begin a new bench.",
    )
