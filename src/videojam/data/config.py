"""What training reads: a folder of clips, or the procedural world."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from videojam.errors import VideoJamError
from videojam.misfits import ContradictionError, reason
from videojam.strict import FrameRate, Seed, Strict
from videojam.world import WorldConfig

FACTS_NAME = "prepared.json"
"""What decides a prepared folder, beside its shards."""


class FolderSource(Strict):
    """Video files with captions, in any layout that `videojam data check` knows."""

    kind: Literal["folder"] = Field("folder", description="A folder of clips with captions.")
    path: Path = Field(
        description="The folder, its subfolders included: clip.mp4 with clip.txt, or another layout of docs/data.md; "
        "or a table, or a WebDataset tar."
    )
    num_frames: int = Field(description="Frames of a clip; 4k+1 for causal autoencoders.", ge=2)
    height: int = Field(description="Height in px after resizing to cover and cropping the centre.", ge=16)
    width: int = Field(description="Width in px after resizing to cover and cropping the centre.", ge=16)
    fps: FrameRate = Field(description="Frames a second that the clips are resampled to.")
    start_s: float = Field(0.0, description="Where in each file the clip starts, in seconds.", ge=0)
    uneven_rate: Literal["resample", "native", "refuse"] = Field(
        "resample",
        description="A clip whose own rate is no multiple of fps is resampled, so that frames repeat or steps differ "
        "(a warning names it), taken at its own rate (native), or treated as one that can't be read (refuse).",
    )
    on_error: Literal["stop", "skip"] = Field(
        "stop",
        description="A clip that can't be read stops the run, or is left out, counted and listed with its reason.",
    )


class PreparedSource(Strict):
    """A folder that `videojam data prepare` made."""

    kind: Literal["prepared"] = Field("prepared", description="A prepared folder.")
    path: Path = Field(description="The folder that `videojam data prepare` made.")

    @property
    def num_frames(self) -> int:
        """Frames of its largest clips."""
        return self._largest()["num_frames"]

    @property
    def height(self) -> int:
        """Height of its largest clips, in px."""
        return self._largest()["height"]

    @property
    def width(self) -> int:
        """Width of its largest clips, in px."""
        return self._largest()["width"]

    @property
    def fps(self) -> float:
        """Frames a second."""
        return float(prepared_facts(self.path)["clips"]["fps"])

    def _largest(self) -> dict[str, int]:
        buckets: list[dict[str, int]] = prepared_facts(self.path)["clips"]["buckets"]
        return max(buckets, key=lambda bucket: bucket["num_frames"] * bucket["height"] * bucket["width"])


def prepared_facts(folder: Path) -> dict[str, Any]:
    """Return what `prepared.json` of a prepared folder says.

    Raises:
        VideoJamError: no such folder, or none that was prepared.
    """
    path = folder / FACTS_NAME
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not (isinstance(facts, dict) and isinstance(facts.get("clips"), dict) and "motion" in facts):
            raise ValueError("something else")
    except (OSError, ValueError) as error:
        raise VideoJamError(
            expected=f"a folder that `videojam data prepare` made, with {FACTS_NAME} in it",
            found=reason(error),
            where=str(folder),
            fix="Prepare the clips first: videojam data prepare SRC OUT --base MODEL",
        ) from None
    return facts


class WorldSource(Strict):
    """Clips of the procedural world, drawn from seeds, with exact flow."""

    kind: Literal["world"] = Field("world", description="The procedural world.")
    num_clips: int = Field(description="How many clips.", ge=1)
    seed: Seed = Field(0, description="Seed of the first clip; clip i has seed + i.")
    world: WorldConfig = Field(WorldConfig(), description="Size, length, texture and kinds of motion.")

    @property
    def fps(self) -> float:
        """Frames a second."""
        return self.world.fps

    @property
    def num_frames(self) -> int:
        """Frames a clip."""
        return self.world.num_frames

    @property
    def height(self) -> int:
        """Height in px."""
        return self.world.side_px

    @property
    def width(self) -> int:
        """Width in px."""
        return self.world.side_px


Source = Annotated[FolderSource | WorldSource | PreparedSource, Field(discriminator="kind")]


class DataConfig(Strict):
    """Where clips come from, and where their latents are kept."""

    source: Source = Field(description="A folder of clips, a prepared folder, or the world.")
    cache: Path = Field(
        Path("runs/cache"), description="Folder of encoded clips; safe to share between runs."
    )
    num_heldout: int | None = Field(
        None,
        description="Clips kept from training, to measure the losses on; default: a tenth of them, 1 to 16.",
        ge=1,
    )
    max_sequence_length: int | None = Field(
        None, description="Text tokens, padding included; default: the base's own.", ge=1
    )
    workers: int = Field(
        2, description="Threads that read batches ahead; 0: each is read when its step begins.", ge=0
    )
    encode: Literal["once", "online"] = Field(
        "once",
        description="Clips are encoded once, before the first step, and kept; or (online) in each step anew, by an "
        "autoencoder that stays beside the transformer. Only held-out clips and texts are kept then.",
    )
    part: Literal["first", "random"] = Field(
        "first",
        description="Of a file longer than a clip: its beginning (from start_s on), or (encode: online) a part drawn "
        "anew each time by seed and step.",
    )
    draw: Literal["mean", "posterior"] = Field(
        "mean",
        description="Latents are the mean of the autoencoder's posterior, or (prepared folders, encode: online) drawn "
        "from it, anew each time by seed and step.",
    )

    @model_validator(mode="after")
    def _online_reads_pixels(self) -> DataConfig:
        kind = self.source.kind
        if self.encode == "online" and kind == "prepared":
            raise ContradictionError(
                "encode: online needs clips with their pixels; a prepared folder holds latents",
                {"encode": self.encode, "source.kind": kind},
            )
        if self.draw == "posterior" and self.encode == "once" and kind != "prepared":
            raise ContradictionError(
                "draw: posterior needs a prepared folder (data.source.kind: prepared) or encode: online; "
                "the cache holds the means",
                {"draw": self.draw, "encode": self.encode},
            )
        if self.part == "random" and not (self.encode == "online" and kind == "folder"):
            raise ContradictionError(
                "part: random needs encode: online and data.source.kind: folder",
                {"part": self.part, "encode": self.encode, "source.kind": kind},
            )
        return self

    def num_heldout_of(self, num_clips: int) -> int:
        """Return how many of a number of clips are held out.

        Args:
            num_clips: Clips that can be used.
        """
        return min(max(num_clips // 10, 1), 16) if self.num_heldout is None else self.num_heldout
