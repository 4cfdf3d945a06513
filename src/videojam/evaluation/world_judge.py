"""The world as a judge like any other: coherence and appearance from pixels and caption."""

from __future__ import annotations

from jaxtyping import UInt8
from torch import Tensor

from videojam.evaluation.judge import Measure, Verdict
from videojam.world import WORLD_VERSION, appearance_measures, score_clip

VERDICTS = (
    Measure(name="coherent", title="coherent", kind="share", better="higher", headline=True),
    Measure(name="follows_prompt", title="follows prompt", kind="share", better="higher", headline=True),
    Measure(name="broken_laws", title="laws seen broken", kind="count", headline=True),
)
APPEARANCE = (
    Measure(name="palette_error", title="palette error", better="lower"),
    Measure(name="hue_error_deg", title="hue error", unit="°", better="lower"),
    Measure(name="edge_sharpness", title="edge sharpness", unit="per px"),
    Measure(name="part_area_share", title="part area share"),
    Measure(name="part_area_spread", title="part area spread", better="lower"),
    Measure(name="background_error", title="background error", better="lower"),
    Measure(name="background_flicker", title="background flicker", better="lower"),
)


class WorldJudge:
    """Scores clips of world captions; `coherent` and `follows_prompt` are 0 or 1, `broken_laws` is a count.

    A clip is coherent if it breaks no law; the count distinguishes clips where no clip is coherent. It counts only laws
    that could be checked, so it may fall when a clip gets worse.
    """

    name = f"world-v{WORLD_VERSION}"
    measures = (*VERDICTS, *APPEARANCE)
    note = (
        "Laws seen broken counts only laws that could be checked: where a part is missing, the laws of its motion "
        "can't be, so a clip that gets worse may have fewer. Read it beside coherent and follows prompt."
    )

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
        verdicts = {
            "coherent": Verdict(float(found.coherent), found.reasons),
            "follows_prompt": float(found.follows_prompt),
            "broken_laws": float(len(found.reasons)),
        }
        return {**verdicts, **appearance_measures(video, prompt)}
