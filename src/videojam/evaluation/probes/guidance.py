"""The guidance probe: the scale of guidance that would lower the held-out error most, against t."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from videojam.data.clips import ClipContent
from videojam.data.config import FolderSource, WorldSource
from videojam.data.latents import NULL_PROMPT
from videojam.evaluation.probes.clips import ProbeClip, encode, estimator_of, read_in_order
from videojam.evaluation.probes.direction import best_scale
from videojam.evaluation.probes.forward import ForwardConfig, draws_of, transformer_at
from videojam.evaluation.probes.record import Row, check_finite
from videojam.evaluation.probes.run import Measuring, Probe, Progress
from videojam.families import Conditioning
from videojam.models.load import LoadedModel
from videojam.motion.estimators import FlowEstimator
from videojam.objective.denoiser import Denoiser
from videojam.objective.pushes import CONDITIONS, condition_products

PRODUCTS = ("lack_push", "push_push")


def guidance_probe(
    model: LoadedModel,
    source: FolderSource | WorldSource,
    out: str | Path,
    config: ForwardConfig | None = None,
    *,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Measure, for text and for motion, the scale w* of guidance that would lower the appearance error most.

    With u the prediction of the appearance from text and the clip's noised motion, r = target − u what it lacks,
    and g = u − (u with null text, or with null motion): w* = Σ⟨r, g⟩ / Σ⟨g, g⟩ over clips, at each t. An ideal
    model has w* = 0; below −0.5 the prediction without the condition is the better one.

    Args:
        model: A joint model; of a base or control only the text is measured.
        source: Clips with captions that the model has not been trained on.
        out: JSON file; finished clips in it are taken over.
        config: How to measure.
        progress: Called with (clips done, clips in all).

    Returns:
        What the file holds. `summary` has a line for each condition and t, with `w_star` and its bootstrap
        interval over clips.

    Raises:
        VideoJamError: clips, model or an existing file that don't fit; a prediction that is NaN.
    """
    config = config or ForwardConfig()
    estimator = estimator_of(model, source, config.estimator)
    null_text = model.family.encode_prompts(model.pipeline, [NULL_PROMPT], model.defaults.max_sequence_length)

    def measure(clips: list[ProbeClip], contents: list[ClipContent]) -> list[Row]:
        return _measure(model, clips, contents, config, estimator, null_text)

    probe = Probe(
        "guidance",
        model,
        source,
        config.model_dump(mode="json", exclude={"batch_size"}),
        Measuring(
            lambda clip: read_in_order(clip, source), measure, lambda rows: summarise(rows, config.times)
        ),
        config.batch_size,
    )
    return probe.run(Path(out), progress)


def _measure(
    model: LoadedModel,
    clips: list[ProbeClip],
    contents: list[ClipContent],
    config: ForwardConfig,
    estimator: FlowEstimator | None,
    null_text: Conditioning,
) -> list[Row]:
    """Return each clip's ⟨r, g⟩ and ⟨g, g⟩, by condition, a value for each t."""
    batch = encode(model, contents, [clip.entry.caption for clip in clips], estimator)
    products: list[Row] = [{} for _ in clips]
    for t in config.times:
        denoiser = Denoiser(transformer_at(model, t), model.family, model.is_joint, null_text)
        found = condition_products(denoiser, batch, draws_of(clips, batch.x, t, config.seed))
        for condition, products_of in found.items():
            part, whole = (values.tolist() for values in products_of)
            for i, (clip, pair) in enumerate(zip(clips, zip(part, whole, strict=True), strict=True)):
                check_finite(pair, clip.entry.name, f"push by {condition} at t = {t:g}")
                for name, value in zip(PRODUCTS, pair, strict=True):
                    products[i].setdefault(condition, {}).setdefault(name, []).append(value)
    return [{"products": found} for found in products]


def summarise(rows: list[Row], times: tuple[float, ...]) -> list[dict[str, Any]]:
    """Return w* with its interval for each condition and each t.

    Args:
        rows: Clips.
        times: The t of each value.
    """
    lines = []
    for condition in (name for name in CONDITIONS if name in rows[0]["products"]):
        part, whole = (np.array([row["products"][condition][name] for row in rows]) for name in PRODUCTS)
        for i, t in enumerate(times):
            lines.append({"condition": condition, "t": t, "w_star": best_scale(part[:, i], whole[:, i])})
    return lines
