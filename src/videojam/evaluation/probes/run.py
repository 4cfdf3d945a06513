"""What the probes do alike: list the clips, take over those that were measured, measure the rest, write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

from videojam.data.config import FolderSource, WorldSource
from videojam.errors import VideoJamError
from videojam.evaluation.probes.clips import ProbeClip, probe_clips
from videojam.evaluation.probes.record import ProbeFile, ProbeName, Row, model_facts, model_settings
from videojam.locks import locked
from videojam.models.load import LoadedModel

Progress = Callable[[int, int], None]
Content = TypeVar("Content")
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Measuring(Generic[Content]):
    """What a probe does with clips.

    Attributes:
        read: Reads a clip; may raise VideoJamError.
        measure: Measures clips that were read together, and returns the numbers of each.
        summarise: Summarises the rows of all clips.
    """

    read: Callable[[ProbeClip], Content]
    measure: Callable[[list[ProbeClip], list[Content]], list[Row]]
    summarise: Callable[[list[Row]], Any]


class Probe(Generic[Content]):
    """One probe of one model on the clips of one source.

    Args:
        name: Which.
        model: Base, control or joint model.
        source: Clips with captions.
        settings: All of the probe's own that decides a number.
        measuring: How clips are read, measured and summarised.
        batch_size: Clips that are measured together.
    """

    def __init__(
        self,
        name: ProbeName,
        model: LoadedModel,
        source: FolderSource | WorldSource,
        settings: dict[str, Any],
        measuring: Measuring[Content],
        batch_size: int,
    ) -> None:
        model.family.latent_shape(model.pipeline, source.num_frames, source.height, source.width)
        self.name, self.source = name, source
        self.settings = {**settings, **model_settings(model)}
        self.facts = {"model": model_facts(model), "data": source.model_dump(mode="json")}
        self.measuring, self.batch_size = measuring, batch_size

    def run(self, out: Path, progress: Progress) -> dict[str, Any]:
        """Measure what is not kept yet, keeping each batch, and return what the file holds at the end.

        Raises:
            VideoJamError: clips or an existing file that don't fit; another process that measures into it; no room.
        """
        with locked(out.parent, f"probe-{out.stem}"):
            return self._run(out, progress)

    def _run(self, out: Path, progress: Progress) -> dict[str, Any]:
        clips, left_out = probe_clips(self.source)
        file = ProbeFile(out, self.name, self.settings, self.facts)
        asked = [clip.key for clip in clips]
        waiting = [clip for clip in clips if clip.key not in file.rows]
        progress(len(clips) - len(waiting), len(clips))
        for chunk in chunks(waiting, self.batch_size):
            pairs = list(self._read(chunk, asked, left_out))
            if pairs:
                usable, contents = (list(part) for part in zip(*pairs, strict=True))
                for clip, row in zip(usable, self.measuring.measure(usable, contents), strict=True):
                    known = {"key": clip.key, "name": clip.entry.name, "caption": clip.entry.caption}
                    file.add({**known, **row})
            progress(sum(key in file.rows for key in asked), len(asked))
        if not asked:
            raise self._nothing_left(left_out)
        return file.finish(asked, left_out, self.measuring.summarise([file.rows[key] for key in asked]))

    def _read(
        self, chunk: list[ProbeClip], asked: list[str], left_out: dict[str, str]
    ) -> Iterator[tuple[ProbeClip, Content]]:
        """Read clips; one that can't be read stops the run, or is left out and listed where the user says so."""
        for clip in chunk:
            try:
                yield clip, self.measuring.read(clip)
            except VideoJamError as error:
                if not (isinstance(self.source, FolderSource) and self.source.on_error == "skip"):
                    raise
                left_out[clip.entry.name] = str(error)
                asked.remove(clip.key)

    def _nothing_left(self, left_out: dict[str, str]) -> VideoJamError:
        name, reason = next(iter(left_out.items()))
        return VideoJamError(
            expected="at least one clip that can be used",
            found=f"none of {len(left_out)}; the first, {name}: {reason}",
            where=str(self.source.path) if isinstance(self.source, FolderSource) else "world",
            fix="Repair the clips, or give another folder.",
        )


def chunks(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Split into lists of a size, the last one shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
