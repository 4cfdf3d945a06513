"""Where a clip is: a file, a part of a tar, or a seed of the procedural world."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from videojam import fingerprints
from videojam.errors import VideoJamError
from videojam.motion.container import Part
from videojam.world import WORLD_VERSION, WorldClip, WorldConfig, sample_caption, sample_clip


@dataclass(frozen=True)
class WorldPlace:
    """A clip of the world, which is drawn when it is read.

    Attributes:
        seed: Of the clip.
        world: Its size, length, texture and kinds of motion.
    """

    seed: int
    world: WorldConfig

    @property
    def content_hash(self) -> str:
        """Hash of all that decides the clip."""
        return fingerprints.of_text(f"world {WORLD_VERSION} {self.seed} {self.world.model_dump_json()}")

    @property
    def caption(self) -> str:
        """What the clip shows; the clip is not drawn for it."""
        return sample_caption(self.seed, self.world)

    def draw(self) -> WorldClip:
        """Draw the clip, with its exact flow."""
        return sample_clip(self.seed, self.world)

    def __str__(self) -> str:
        """Name it as training does."""
        return f"world seed {self.seed}"


Place = Path | Part | WorldPlace
"""Where a clip is."""


def require_there(place: Path | Part, name: str, fix: str) -> None:
    """Refuse a clip whose file has gone since the clips were listed.

    Args:
        place: Where it was.
        name: How the user knows the clip.
        fix: What to do.

    Raises:
        VideoJamError: no such file.
    """
    if not (place.path if isinstance(place, Part) else place).is_file():
        raise VideoJamError(
            expected=f"the file of the clip {name}, which was there when the clips were listed",
            found="no such file",
            where=str(place),
            fix=fix,
        )
