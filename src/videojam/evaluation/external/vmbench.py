"""VMBench (Ling et al., 2025, arXiv 2503.10076): five scores of motion for each clip of its own prompts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from videojam.errors import VideoJamError
from videojam.evaluation.external.clips import ExportClip, ExportRecord, read_json
from videojam.evaluation.external.judge import (
    ExportOptions,
    ExternalJudge,
    ImportedScores,
    add_score,
    by_clip,
    by_prompt,
    folded,
    wrong_layout,
)
from videojam.evaluation.judge import Measure

PROMPT_KEYS = {"index", "prompt", "subject_noun"}

# Its table of averages spells one of them otherwise, and so do files that were made to fit it.
SPELLINGS = {"perceptible_amplitude_socre": "perceptible_amplitude_score"}

NAMES = ("perceptible_amplitude", "object_integrity", "temporal_coherence", "motion_smoothness",
         "commonsense_adherence")  # fmt: skip


class VMBench(ExternalJudge):
    """Writes `videos/<index>.mp4` for `evaluate.sh`, and reads `results.json`.

    Its metrics look for the subject that its prompts name, so clips of other prompts are left out. Taken from the
    README and scripts in copies of its repository; no run of it was possible here. A score that isn't a number (some
    copies write details) is refused.
    """

    name = "vmbench"
    measures = tuple(
        Measure(
            name=f"{name}_score",
            title=f"{name.replace('_', ' ')} (VMBench)",
            better="higher",
            headline=True,
        )
        for name in NAMES
    )
    prompts = "prompts/prompts.json of VMBench, or one like it: index, prompt and subject_noun of each"
    results = ("results.json",)

    def choose(
        self, clips: Sequence[ExportClip], options: ExportOptions
    ) -> tuple[dict[str, ExportClip], dict[str, str]]:
        """Name clips by the index of their prompt; see `ExternalJudge.choose`."""
        assert options.prompts is not None
        items = read_json(options.prompts)
        if not isinstance(items, list) or not all(
            isinstance(item, dict) and item.keys() >= PROMPT_KEYS for item in items
        ):
            raise VideoJamError(
                expected=f"a list of items with {', '.join(sorted(PROMPT_KEYS))}",
                found="another layout",
                where=str(options.prompts),
                fix="Give prompts/prompts.json of VMBench.",
            )
        return by_prompt(clips, {folded(str(item["prompt"])): str(item["index"]) for item in items})

    def read(self, record: ExportRecord, paths: Sequence[Path]) -> ImportedScores:
        """Read `results.json`: a list of items with index and scores; see `ExternalJudge.read`."""
        (path,) = paths
        items = read_json(path)
        if not isinstance(items, list) or not all(
            isinstance(item, dict) and "index" in item for item in items
        ):
            raise wrong_layout(path, "a list of items with index and scores")
        known = {measure.name for measure in self.measures}
        found: dict[str, dict[str, float]] = {}
        for item in items:
            for key, value in item.items():
                measure = SPELLINGS.get(key, key)
                if measure in known:
                    add_score(found, str(item["index"]), measure, value, path)
        if not found:
            raise wrong_layout(path, f"a score among {', '.join(sorted(known))}")
        return by_clip(record, found)
