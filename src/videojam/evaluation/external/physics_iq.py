"""Physics-IQ (Motamed et al., 2025, arXiv 2501.09038): one figure of a whole run, for image-to-video models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from videojam.errors import VideoJamError
from videojam.evaluation.external.clips import ExportClip, ExportRecord, read_json
from videojam.evaluation.external.judge import (
    ExportOptions,
    ExternalJudge,
    ImportedScores,
    folded,
    number,
    take,
    wrong_layout,
)
from videojam.motion.video import read_video, write_video
from videojam.reading import read_table

DURATION_S = 5
"""It takes clips of exactly five seconds."""

RUN_SCORES = {"final_score_view": "physics_iq_verified", "final_score_orig": "physics_iq"}
"""Ours by its key; the first is its Verified score."""


class PhysicsIQ(ExternalJudge):
    """Writes a run folder of five-second clips, and reads `…_metrics.json`.

    Its clips continue given frames, so it is for image-to-video models only, and it has no score of a single clip.
    Taken from its README; no run of it was possible here.
    """

    name = "physics-iq"
    measures = ()
    prompts = "its descriptions CSV with description and generated_video_name"
    results = ("…_metrics.json",)

    def choose(
        self, clips: Sequence[ExportClip], options: ExportOptions
    ) -> tuple[dict[str, ExportClip], dict[str, str]]:
        """Name clips by the number in front of their name, or by their prompt; see `ExternalJudge.choose`."""
        assert options.prompts is not None
        rows = read_table(options.prompts, ("description", "generated_video_name"))
        names = [row["generated_video_name"].removesuffix(".mp4") for row in rows]
        by_number = {name[:4]: name for name in names}
        by_prompt = {folded(row["description"]): name for row, name in zip(rows, names, strict=True)}
        chosen: dict[str, ExportClip] = {}
        left_out: dict[str, str] = {}
        for clip in clips:
            number_ = clip.name[:4]
            name = by_number.get(number_) if number_.isdigit() else by_prompt.get(folded(clip.prompt))
            take(chosen, left_out, clip, name)
        return chosen, left_out

    def place(self, clip: ExportClip, folder: Path, name: str, options: ExportOptions) -> float:
        """Write the clip's first five seconds; see `ExternalJudge.place`."""
        frames, fps = read_video(clip.path)
        num_frames = round(DURATION_S * fps)
        if len(frames) < num_frames:
            raise VideoJamError(
                expected=f"{DURATION_S} s or more",
                found=f"{len(frames) / fps:.2f} s",
                where=str(clip.path),
                fix="Make a longer clip, or leave it out.",
            )
        write_video(folder / options.run / f"{name}.mp4", frames[:num_frames], fps)
        return fps

    def read(self, record: ExportRecord, paths: Sequence[Path]) -> ImportedScores:
        """Read `…_metrics.json`, scores of the run; see `ExternalJudge.read`."""
        (path,) = paths
        content = read_json(path)
        if not isinstance(content, dict) or not RUN_SCORES.keys() & content.keys():
            raise wrong_layout(path, f"one of {', '.join(RUN_SCORES)}")
        run = {
            ours: number(content[key], f"{path}: {key}") for key, ours in RUN_SCORES.items() if key in content
        }
        return ImportedScores(record.judge, {}, run)
