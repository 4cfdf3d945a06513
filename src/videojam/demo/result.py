"""What a demo run found: its clips, their coherence, and the shares of each arm."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from videojam import files
from videojam.evaluation.intervals import Interval, paired_difference, share

WORLD = "world"
ARMS = {"base": "Base", "control": "Control", "videojam": "VideoJAM"}
"""Folder names of the arms that generate, and what people see."""
ROWS = {**ARMS, WORLD: "World (truth)"}


@dataclass(frozen=True)
class DemoClip:
    """One clip of one arm, scored from its mp4 and its prompt alone.

    Attributes:
        arm: A key of `ROWS`.
        index: Number of the prompt.
        kind: The world's kind of scene.
        prompt: What was asked for.
        seed: Seed of the noise (of the scene, for the world's own clip).
        video: The mp4, relative to the demo's folder.
        motion: The predicted motion as mp4; none for arms that predict none.
        coherent: Whether the law of the scene holds.
        reasons: Why not, in words.
        follows_prompt: Whether the scene is the one asked for.
    """

    arm: str
    index: int
    kind: str
    prompt: str
    seed: int
    video: str
    motion: str | None
    coherent: bool
    reasons: tuple[str, ...]
    follows_prompt: bool


@dataclass(frozen=True)
class Tally:
    """Coherent clips of one arm.

    Attributes:
        coherent: Share of coherent clips with its interval.
        follows_prompt: Share of clips that show the scene asked for.
        kinds: Coherent clips and clips, for each kind.
    """

    coherent: Interval
    follows_prompt: Interval
    kinds: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class DemoResult:
    """A finished demo.

    Attributes:
        out: Its folder.
        page: The HTML page.
        clips: Every clip, arm by arm in the order of the prompts.
        provenance: Versions, seeds, guidance of each arm, and seconds taken.
        fps: Frame rate of the clips.
        num_frames: Frames of a clip.
    """

    out: Path
    page: Path
    clips: tuple[DemoClip, ...]
    provenance: dict[str, Any]
    fps: float
    num_frames: int

    def of(self, arm: str) -> list[DemoClip]:
        """Return an arm's clips in the order of the prompts."""
        return sorted((clip for clip in self.clips if clip.arm == arm), key=lambda clip: clip.index)

    def tally(self, arm: str) -> Tally:
        """Count an arm's coherent clips."""
        clips = self.of(arm)
        kinds: dict[str, tuple[int, int]] = {}
        for clip in clips:
            good, total = kinds.get(clip.kind, (0, 0))
            kinds[clip.kind] = (good + clip.coherent, total + 1)
        return Tally(
            share(sum(clip.coherent for clip in clips), len(clips)),
            share(sum(clip.follows_prompt for clip in clips), len(clips)),
            kinds,
        )

    def difference(self, arm: str, other: str) -> Interval:
        """Return the difference in coherence of two arms, paired by prompt."""
        ours, theirs = ([clip.coherent for clip in self.of(name)] for name in (arm, other))
        return paired_difference(ours, theirs, seed=0)


def save_result(result: DemoResult) -> Path:
    """Write the result beside the page as `results.json`."""
    arms = {arm: asdict(result.tally(arm)) for arm in ROWS}
    content = {
        "arms": arms,
        "provenance": result.provenance,
        "clips": [asdict(clip) for clip in result.clips],
    }
    return write_text(result.out / "results.json", json.dumps(content, indent=2) + "\n")


def write_text(path: Path, text: str) -> Path:
    """Write a file of the demo, whole or not at all.

    Raises:
        VideoJamError: no room or no permission.
    """
    return files.write_text(path, text, fix="Free space or choose another folder with --out.")
