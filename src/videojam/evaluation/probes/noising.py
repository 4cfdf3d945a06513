"""The noising probe (Fig. 8): a clip is noised to t and denoised from there; what of it comes back, by t."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor

from videojam.data.clips import ClipContent
from videojam.data.config import FolderSource, WorldSource
from videojam.errors import VideoJamError
from videojam.evaluation.probes.clips import Estimator, ProbeClip, encode, estimator_of, read_in_order
from videojam.evaluation.probes.measures import appearance_agreement, flow_agreement, motion_agreement
from videojam.evaluation.probes.record import Row, check_finite, mean_interval
from videojam.evaluation.probes.run import Measuring, Probe, Progress
from videojam.files import ELSEWHERE, refused
from videojam.guidance.config import Guidance
from videojam.joint.latents import join
from videojam.models.load import LoadedModel
from videojam.motion.estimators import FlowEstimator, build_estimator
from videojam.motion.video import write_video
from videojam.sampling.sample import decode_halves, scheduled
from videojam.sampling.settings import resolve
from videojam.sampling.twin import Start, sample_twin
from videojam.strict import Seed, Strict

MEASURED_WITH = "dis"
"""What measures the flow of sampled clips unless another estimator is asked for; it needs no download."""


class NoisingConfig(Strict):
    """How the noising probe measures."""

    times: tuple[float, ...] = Field(
        (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
        min_length=1,
        description="The paper's t to noise to: 0 is only noise, 1 the clip itself. The nearest step is taken.",
    )
    num_steps: int | None = Field(None, ge=1, description="Steps of a whole run; default: the model's own.")
    seed: Seed = Field(0, description="Of the noise.")
    estimator: Estimator | None = Field(
        None,
        description="Estimator of flow; default: the motion code's, or DIS if that is exact or missing.",
    )
    batch_size: int = Field(4, ge=1, description="Clips that are sampled together.")

    @field_validator("times")
    @classmethod
    def _inside(cls, times: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 <= t <= 1 for t in times) or list(times) != sorted(set(times)):
            raise ValueError("every time lies in 0..1, in rising order")
        return times


def noising_probe(
    model: LoadedModel,
    source: FolderSource | WorldSource,
    out: str | Path,
    config: NoisingConfig | None = None,
    *,
    guidance: Guidance | None = None,
    clips_folder: str | Path | None = None,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Noise clips to each t, sample the rest of the schedule, and measure what came back.

    A joint model's motion half is noised beside the appearance, to the same t, with noise of its own. The clip
    that should come back is the one that the autoencoder gives back without any noise, so that its losses are
    not the model's. At t = 0 nothing of the clip is left: that is sampling from its caption, the floor.

    - `appearance`: agreement of the means over time (`probes.measures`), blind to the order of frames.
    - `motion`: agreement of the deviations from the mean over time.
    - `flow`: agreement of the flows, measured by the same estimator on both.
    - `predicted_flow`: agreement of the flows that the motion half decodes to (joint models).

    Args:
        model: Base, control or joint model, text-to-video.
        source: Clips with captions.
        out: JSON file; finished clips in it are taken over.
        config: How to measure.
        guidance: As in `sample`.
        clips_folder: Where to write the clips as mp4, for looking; none are written if not given.
        progress: Called with (clips done, clips in all).

    Returns:
        What the file holds. `come_back` in `summary` is the agreement minus the floor's, with its bootstrap
        interval over clips, paired; it is there if t = 0 was measured.

    Raises:
        VideoJamError: clips, model or an existing file that don't fit; NaN in a sampled clip.
    """
    config, guidance = config or NoisingConfig(), guidance or resolve(model).guidance
    if model.family.takes_image(model.pipeline):
        raise VideoJamError(
            expected="a text-to-video pipeline",
            found=type(model.pipeline).__name__,
            where=model.source,
            fix="Probe the text-to-video model of the family, or use the permutation probe.",
        )
    if clips_folder is not None:
        _require_folder(Path(clips_folder))
    starts = start_steps(model, source, config)
    reads = estimator_of(model, source, config.estimator)
    measures = build_estimator(config.estimator or MEASURED_WITH)  # the same for every model

    def measure(clips: list[ProbeClip], contents: list[ClipContent]) -> list[Row]:
        rows, videos = _measure(model, clips, contents, config, guidance, list(starts), reads, measures)
        if clips_folder is not None:
            _write_clips(Path(clips_folder), clips, videos, list(starts.values()), source.fps)
        return rows

    probe = Probe(
        "noising",
        model,
        source,
        {
            **config.model_dump(mode="json", exclude={"batch_size"}),
            "guidance": guidance.model_dump(mode="json", exclude={"batched"}),
            "started": [{"step": step, "t": t} for step, t in starts.items()],
            "measured_with": measures.name,
        },
        Measuring(lambda clip: read_in_order(clip, source), measure, lambda rows: summarise(rows, starts)),
        config.batch_size,
    )
    return probe.run(Path(out), progress)


def start_steps(
    model: LoadedModel, source: FolderSource | WorldSource, config: NoisingConfig
) -> dict[int, float]:
    """Return the first step to take for each asked t, with the time at which it starts; nearest to what was asked.

    Args:
        model: Whose schedule.
        source: Some schedules depend on the size.
        config: The asked times.
    """
    pipe, family = model.pipeline, model.family.for_sampling()
    shape = family.latent_shape(pipe, source.num_frames, source.height, source.width)
    num_steps = config.num_steps or model.defaults.num_steps or family.default(pipe, "num_inference_steps")
    with scheduled(pipe, "base", None):
        family.set_timesteps(pipe, num_steps, torch.zeros(1, *shape))
        times = [*family.paper_times(pipe.scheduler).tolist(), 1.0]
    steps = [min(range(len(times)), key=lambda step, t=t: abs(times[step] - t)) for t in config.times]  # type: ignore[misc]
    return {step: times[step] for step in steps}


@torch.no_grad()
def _measure(
    model: LoadedModel,
    clips: list[ProbeClip],
    contents: list[ClipContent],
    config: NoisingConfig,
    guidance: Guidance,
    steps: list[int],
    reads: FlowEstimator | None,
    estimator: FlowEstimator,
) -> tuple[list[Row], list[list[Tensor]]]:
    """Return each clip's agreements, by measure one for each start, and its videos: reference, then each start's."""
    captions = [clip.entry.caption for clip in clips]
    batch = encode(model, contents, captions, reads)
    clean = join(batch.x, batch.d) if model.is_joint else batch.x
    num_frames, _, height, width = contents[0].video.shape
    references = _Decoded(model, clean, num_frames, estimator)
    rows: list[Row] = [{} for _ in clips]
    videos = [[video] for video in references.videos]
    for step in steps:
        latents = sample_twin(
            model,
            captions,
            seeds=[noise_seed(clip, config.seed) for clip in clips],
            guidance=guidance,
            start=Start(clean, step),
            num_frames=num_frames,
            height=height,
            width=width,
            num_steps=config.num_steps,
        )
        came = _Decoded(model, latents, num_frames, estimator)
        for i, (clip, row) in enumerate(zip(clips, rows, strict=True)):
            agreements = came.agreements(references, i)
            check_finite([*agreements.values(), float(latents[i].sum())], clip.entry.name, f"step {step}")
            for name, value in agreements.items():
                row.setdefault(name, []).append(value)
            videos[i].append(came.videos[i])
    return [{"agreement": row} for row in rows], videos


class _Decoded:
    """Latents as pixels, with the flow of both."""

    def __init__(
        self, model: LoadedModel, latents: Tensor, num_frames: int, estimator: FlowEstimator
    ) -> None:
        self.videos, _, self.predicted = decode_halves(model, latents, num_frames)
        self.flows = [estimator(video) for video in self.videos]

    def agreements(self, reference: _Decoded, i: int) -> dict[str, float]:
        pair = self.videos[i], reference.videos[i]
        found = {
            "appearance": appearance_agreement(*pair),
            "motion": motion_agreement(*pair),
            "flow": flow_agreement(self.flows[i], reference.flows[i]),
        }
        if self.predicted is not None and reference.predicted is not None:
            found["predicted_flow"] = flow_agreement(self.predicted[i], reference.predicted[i])
        return found


def noise_seed(clip: ProbeClip, seed: int) -> int:
    """Return the seed of a clip's noise: the same for every start and every model."""
    return zlib.crc32(f"{seed} {clip.key}".encode())


def _write_clips(
    folder: Path, clips: list[ProbeClip], videos: list[list[Tensor]], times: list[float], fps: float
) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refused(folder, error, ELSEWHERE) from error
    names = ["reference", *(f"from_t{t:.2f}" for t in times)]
    for clip, of_clip in zip(clips, videos, strict=True):
        for name, video in zip(names, of_clip, strict=True):
            write_video(folder / f"{clip.key[:12]}.{name}.mp4", video, fps)


def not_written(folder: Path, result: dict[str, Any]) -> list[str]:
    """Return the names of clips that an earlier run measured without writing them into the folder.

    Args:
        folder: `clips_folder` of the probe.
        result: What the probe returned.
    """
    rows = [row for row in result["clips"] if not (folder / f"{row['key'][:12]}.reference.mp4").exists()]
    return [row["name"] for row in rows]


def _require_folder(folder: Path) -> None:
    """Refuse a place for clips that is a file, before anything is measured."""
    if folder.exists() and not folder.is_dir():
        raise VideoJamError(
            expected="a folder to write clips into, or a new name",
            found="a file",
            where=str(folder),
            fix="Choose another folder for the clips.",
        )


def summarise(rows: list[Row], starts: dict[int, float]) -> list[dict[str, Any]]:
    """Return, for each measure and start, the mean agreement and what of it came back, with intervals.

    Args:
        rows: Clips.
        starts: First step of each start, and the time at which it lies.
    """
    lines = []
    for measure in rows[0]["agreement"]:
        values = np.array([row["agreement"][measure] for row in rows])
        for i, (step, t) in enumerate(starts.items()):
            line: dict[str, Any] = {"measure": measure, "step": step, "t": t}
            line["agreement"] = mean_interval(values[:, i])
            if 0 in starts:
                line["come_back"] = mean_interval(values[:, i], values[:, 0])
            lines.append(line)
    return lines
