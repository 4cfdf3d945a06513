"""The world as a judge like any other: coherence and appearance from pixels and caption."""

from __future__ import annotations

from jaxtyping import UInt8
from torch import Tensor

from videojam.world import WORLD_VERSION, appearance_measures, score_clip

APPEARANCE = (
    "palette_error",
    "hue_error_deg",
    "edge_sharpness",
    "part_area_share",
    "part_area_spread",
    "background_error",
    "background_flicker",
)


class WorldJudge:
    """Scores clips of world captions; `coherent` and `follows_prompt` are 0 or 1, `broken_laws` is a count.

    A clip is coherent if it breaks no law; the count tells clips apart where none is coherent.
    """

    name = f"world-v{WORLD_VERSION}"
    measures = ("coherent", "follows_prompt", "broken_laws", *APPEARANCE)

    def score(self, video: UInt8[Tensor, "t 3 h w"], fps: float, prompt: str) -> dict[str, float]:
        """Score one clip; a measure that needs parts is NaN where no part is found.

        Args:
            video: Pixels, at least 9 frames of 32×32.
            fps: Not looked at: the laws are in frames.
            prompt: A sentence of the world's grammar.

        Raises:
            VideoJamError: the prompt is outside the grammar, or the clip is too short or too small.
        """
        found = score_clip(video, prompt)
        verdicts = {"coherent": float(found.coherent), "follows_prompt": float(found.follows_prompt)}
        verdicts["broken_laws"] = float(len(found.reasons))
        return {**verdicts, **appearance_measures(video, prompt)}
