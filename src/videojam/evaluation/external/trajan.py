"""TRAJAN (Allen et al., 2025, arXiv 2505.00209): how well an autoencoder of point tracks gives a clip's tracks back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from videojam.evaluation.external.clips import ExportClip, ExportRecord
from videojam.evaluation.external.judge import (
    ExternalJudge,
    ImportedScores,
    add_score,
    by_clip,
    write_csv,
)
from videojam.evaluation.judge import Measure
from videojam.reading import read_table, stem_of


class Trajan(ExternalJudge):
    """Writes `videos/` and `clips.csv` (file, fps, prompt), and reads a CSV with `file` and `average_jaccard`.

    TRAJAN is code that takes arrays (in google-deepmind/tapnet), without a folder layout of its own: the layout is
    ours, and the loop over `clips.csv` is the user's to write. No run of it was possible here.
    """

    name = "trajan"
    measures = (
        Measure(
            name="average_jaccard", title="average Jaccard (TRAJAN)", better="higher", headline=True
        ),
    )  # fmt: skip
    results = ("a CSV with file and average_jaccard",)

    def index(self, clips: dict[str, ExportClip], fps: dict[str, float], folder: Path, out: Path) -> None:
        """Write `clips.csv`; see `ExternalJudge.index`."""
        rows = ((f"videos/{name}.mp4", fps[name], clip.prompt) for name, clip in clips.items())
        write_csv(folder / "clips.csv", ("file", "fps", "prompt"), rows)

    def read(self, record: ExportRecord, paths: Sequence[Path]) -> ImportedScores:
        """Read the CSV; see `ExternalJudge.read`."""
        (path,) = paths
        found: dict[str, dict[str, float]] = {}
        for row in read_table(path, ("file", "average_jaccard")):
            add_score(found, stem_of(row["file"]), "average_jaccard", row["average_jaccard"], path)
        return by_clip(record, found)
