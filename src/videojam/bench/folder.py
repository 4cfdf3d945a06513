"""A bench on disk: the suite, a folder of clips for each arm, scores, and the report.

OUT/bench.json                  suite and number of seeds
OUT/arms/ARM/manifest.json      what made the clips
OUT/arms/ARM/ID_sSEED.mp4       a clip; the predicted motion beside it as .motion.mp4
OUT/arms/ARM/failed.RANK.jsonl  clips that could not be made, with the reason
OUT/scores/ARM.RANK.jsonl       one line for each clip and judge
OUT/probes/*.json                results of `videojam probe`, for the report
OUT/results.json, OUT/index.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from videojam import files
from videojam.bench.make.suites import Prompt, Suite
from videojam.errors import VideoJamError
from videojam.store import WRITE_FIX, read_rows

FORMAT = 1


@dataclass(frozen=True)
class Item:
    """One clip to be made or judged, whatever the arm.

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


class BenchFile(BaseModel):
    """`bench.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = Field(FORMAT, description="Of this file.")
    suite: Suite = Field(description="With every prompt, so that the folder is complete in itself.")
    num_seeds: int = Field(1, ge=1, description="Clips of each prompt.")

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
            VideoJamError: no bench there, or one of another version.
        """
        path = Path(folder) / "bench.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.get("format") != FORMAT:
                raise _unfit(path, f"format {content.get('format')!r}")
            return cls(folder, BenchFile.model_validate(content))
        except (OSError, ValueError, ValidationError, AttributeError) as error:
            found = "no such file" if isinstance(error, FileNotFoundError) else str(error).splitlines()[0]
            raise _unfit(path, found) from None

    @classmethod
    def create(cls, folder: str | Path, suite: Suite, num_seeds: int = 1) -> Bench:
        """Make a bench, or open the one that is there with more prompts or seeds of the same suite.

        Raises:
            VideoJamError: the folder holds another suite; no room or permission.
        """
        path = Path(folder) / "bench.json"
        if path.exists():
            _check_same(path, cls.open(folder).file.suite, suite)
        bench = cls(folder, BenchFile(suite=suite, num_seeds=num_seeds))
        write_json(path, bench.file.model_dump(mode="json", exclude_defaults=True) | {"format": FORMAT})
        return bench

    @property
    def arms(self) -> list[str]:
        """Names of the arms that have a manifest, in the order in which they were made."""
        manifests = sorted(self.folder.glob("arms/*/manifest.json"), key=_made_at)
        return [path.parent.name for path in manifests]

    def unknown(self, arm: str) -> VideoJamError:
        """Return the error of an arm that isn't there."""
        return VideoJamError(
            expected=f"one of the bench's arms: {', '.join(self.arms) or 'it has none yet'}",
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
        lines = (
            line
            for path in self.arm_folder(arm).glob("failed.*.jsonl")
            for line in read_rows(path, ("clip", "reason"))
        )
        return {line["clip"]: line["reason"] for line in lines}


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


def _made_at(manifest: Path) -> tuple[float, str]:
    made = json.loads(manifest.read_text(encoding="utf-8")).get("made_at", 0.0)
    return float(made), manifest.parent.name


def _check_same(path: Path, old: Suite, new: Suite) -> None:
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


def _unfit(path: Path, found: str) -> VideoJamError:
    return VideoJamError(
        expected=f"a bench folder with bench.json of format {FORMAT}",
        found=found,
        where=str(path),
        fix="Point at the --out of `videojam bench run`, or run it first.",
    )
