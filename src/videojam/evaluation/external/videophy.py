"""VideoPhy and VideoPhy-2 (Bansal et al., 2024 and 2025, arXiv 2406.03520, 2503.06800)."""

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

MARKS = ("semantic_adherence", "physical_commonsense")
HIGH = 4
"""VideoPhy-2 counts a clip as a success if both marks are at least this, of 1..5."""


class VideoPhy(ExternalJudge):
    """Writes `videos/` and `input.csv` (caption, videopath) for its raters, and reads their two tables.

    Taken from VideoPhy-2's `inference.py` and example files; no run of it was possible here. One published version of
    `inference.py` judges only the first 20 rows (`df.iloc[:20]`): clips without a result are listed.
    """

    name = "videophy"
    measures = (
        *(
            Measure(
                name=name,
                title=f"{name.replace('_', ' ')} (VideoPhy)",
                unit="1–5",
                better="higher",
                headline=True,
            )
            for name in MARKS
        ),
        Measure(name="joint", title="joint (VideoPhy)", kind="share", better="higher", headline=True),
    )
    results = ("the CSV of semantic adherence", "the CSV of physical commonsense")

    def index(self, clips: dict[str, ExportClip], fps: dict[str, float], folder: Path, out: Path) -> None:
        """Write `input.csv`; see `ExternalJudge.index`."""
        rows = ((clip.prompt, (out / "videos" / f"{name}.mp4").resolve()) for name, clip in clips.items())
        write_csv(folder / "input.csv", ("caption", "videopath"), rows)

    def read(self, record: ExportRecord, paths: Sequence[Path]) -> ImportedScores:
        """Read both CSV files with `videopath` and `score`, marks of 1..5; see `ExternalJudge.read`."""
        found: dict[str, dict[str, float]] = {}
        for mark, path in zip(MARKS, paths, strict=True):
            for row in read_table(path, ("videopath", "score")):
                add_score(found, stem_of(row["videopath"]), mark, row["score"], path)
        for scores in found.values():
            if len(scores) == len(MARKS):
                scores["joint"] = float(all(scores[mark] >= HIGH for mark in MARKS))
        return by_clip(record, found)
