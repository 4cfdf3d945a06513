"""The permutation probe (Fig. 3): the loss of clips, and of the same clips with their frames permuted, against t."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from videojam.data.clips import ClipContent
from videojam.data.config import FolderSource, WorldSource
from videojam.evaluation.probes.clips import ProbeClip, encode, estimator_of, read_in_order
from videojam.evaluation.probes.forward import ForwardConfig, draws_of, transformer_at
from videojam.evaluation.probes.record import Row, check_finite, mean_interval
from videojam.evaluation.probes.run import Measuring, Probe, Progress
from videojam.joint.batch import Batch
from videojam.models.load import LoadedModel
from videojam.motion.estimators import FlowEstimator
from videojam.objective.denoiser import Denoiser
from videojam.seeds import generator_of

ORDERS = ("ordered", "permuted")
Losses = dict[str, list[float]]
"""Of one clip in one order: a loss for each t, by kind."""


def permutation_probe(
    model: LoadedModel,
    source: FolderSource | WorldSource,
    out: str | Path,
    config: ForwardConfig | None = None,
    *,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Measure the loss (Eq. 6) of clips and of the same clips permuted, with the same noise and text.

    Frames are permuted in pixels, before the autoencoder, and a joint model's flow is that of the permuted
    clip. Losses are squared errors in the network's own target, a mean over the latent, one for each clip and t:

    - `appearance`: of the appearance half; a joint model reads the clip's noised motion beside it.
    - `motion`: of the motion half (joint models).
    - `appearance_null_motion`: of the appearance half with the motion input null (joint models), so that it
      reads what a base reads.

    Args:
        model: Base, control or joint model.
        source: Clips with captions.
        out: JSON file; finished clips in it are taken over.
        config: How to measure.
        progress: Called with (clips done, clips in all).

    Returns:
        What the file holds. The gap in `summary` is permuted − ordered, with its bootstrap interval over
        clips, paired.

    Raises:
        VideoJamError: clips, model or an existing file that don't fit; a loss that is NaN.
    """
    config = config or ForwardConfig()
    estimator = estimator_of(model, source, config.estimator)

    def read(clip: ProbeClip) -> dict[str, ClipContent]:
        order = permutation_of(clip, source.num_frames, config.seed)
        return {"ordered": read_in_order(clip, source), "permuted": read_in_order(clip, source, order)}

    def measure(clips: list[ProbeClip], contents: list[dict[str, ClipContent]]) -> list[Row]:
        return _measure(model, clips, contents, config, estimator)

    probe = Probe(
        "permutation",
        model,
        source,
        config.model_dump(mode="json", exclude={"batch_size"}),
        Measuring(read, measure, lambda rows: summarise(rows, config.times)),
        config.batch_size,
    )
    return probe.run(Path(out), progress)


def permutation_of(clip: ProbeClip, num_frames: int, seed: int) -> list[int]:
    """Return the order of a clip's frames: random, but a function of clip and seed, and never as they are."""
    generator = generator_of(seed, 0, f"order {clip.key}")
    while True:
        order = torch.randperm(num_frames, generator=generator).tolist()
        if order != sorted(order):
            return order


def _measure(
    model: LoadedModel,
    clips: list[ProbeClip],
    contents: list[dict[str, ClipContent]],
    config: ForwardConfig,
    estimator: FlowEstimator | None,
) -> list[Row]:
    """Return each clip's order and its losses, by kind and order of the frames."""
    captions = [clip.entry.caption for clip in clips]
    losses: dict[str, list[Losses]] = {}
    for name in ORDERS:
        batch = encode(model, [content[name] for content in contents], captions, estimator)
        losses[name] = _losses(model, batch, clips, config)
    num_frames = len(contents[0]["ordered"].video)
    return [
        {
            "order": permutation_of(clip, num_frames, config.seed),
            "losses": {
                kind: {name: losses[name][i][kind] for name in ORDERS} for kind in losses["ordered"][i]
            },
        }
        for i, clip in enumerate(clips)
    ]


@torch.no_grad()
def _losses(model: LoadedModel, batch: Batch, clips: list[ProbeClip], config: ForwardConfig) -> list[Losses]:
    results: list[Losses] = [{} for _ in clips]
    for t in config.times:
        denoiser = Denoiser(transformer_at(model, t), model.family, model.is_joint, {})
        draws = draws_of(clips, batch.x, t, config.seed)
        measured = dict(zip(("appearance", "motion"), denoiser.losses(batch, draws), strict=False))
        if model.is_joint:
            null = replace(draws, drop_motion=torch.ones_like(draws.drop_motion))
            measured["appearance_null_motion"] = denoiser.losses(batch, null)[0]
        for kind, values in measured.items():
            for clip, result, value in zip(clips, results, values.tolist(), strict=True):
                check_finite([value], clip.entry.name, f"{kind} loss at t = {t:g}")
                result.setdefault(kind, []).append(value)
    return results


def summarise(rows: list[Row], times: tuple[float, ...]) -> list[dict[str, Any]]:
    """Return, for each kind of loss and each t, both means and the paired gap with its interval.

    Args:
        rows: Clips.
        times: The t of each loss.
    """
    lines = []
    for kind in rows[0]["losses"]:
        ordered, permuted = (np.array([row["losses"][kind][name] for row in rows]) for name in ORDERS)
        for i, t in enumerate(times):
            means = {
                name: float(values[:, i].mean())
                for name, values in (("ordered", ordered), ("permuted", permuted))
            }
            lines.append({"loss": kind, "t": t, **means, "gap": mean_interval(permuted[:, i], ordered[:, i])})
    return lines
