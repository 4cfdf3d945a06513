"""What training reads: a folder of clips, or the procedural world."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from videojam.strict import Strict
from videojam.world import WorldConfig


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
    fps: float = Field(description="Frames a second that the clips are resampled to.", gt=0)
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


class WorldSource(Strict):
    """Clips of the procedural world, drawn from seeds, with exact flow."""

    kind: Literal["world"] = Field("world", description="The procedural world.")
    num_clips: int = Field(description="How many clips.", ge=1)
    seed: int = Field(0, description="Seed of the first clip; clip i has seed + i.", ge=0)
    world: WorldConfig = Field(WorldConfig(), description="Size, length, texture, clutter and kinds.")

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
        return self.world.height

    @property
    def width(self) -> int:
        """Width in px."""
        return self.world.width


Source = Annotated[FolderSource | WorldSource, Field(discriminator="kind")]


class DataConfig(Strict):
    """Where clips come from, and where their latents are kept."""

    source: Source = Field(description="A folder of clips, or the world.")
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

    def num_heldout_of(self, num_clips: int) -> int:
        """Return how many of a number of clips are held out.

        Args:
            num_clips: Clips that can be used.
        """
        return min(max(num_clips // 10, 1), 16) if self.num_heldout is None else self.num_heldout
