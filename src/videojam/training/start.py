"""What a run begins with: clips encoded by encoders that are loaded and freed in turn, then the transformer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from videojam.data.encode import prepare
from videojam.data.encoded import EncodedData
from videojam.data.online import OnlineReader
from videojam.families.latent_codec import video_of
from videojam.models.encoders import Encoders, StoredEncoders
from videojam.models.folder import open_folder
from videojam.models.load import LoadedModel
from videojam.models.resolve import resolve
from videojam.motion.estimators import OnFirstUse
from videojam.objective.denoiser import Denoiser
from videojam.objective.moving import MovingWeight
from videojam.training.batches import heldout_numbers
from videojam.training.config import TrainConfig
from videojam.training.finite import check_finite_weights
from videojam.training.new_rate import new_entries
from videojam.training.offload import place
from videojam.training.samples_plan import Plan, plan_samples
from videojam.training.trainable import chosen_component, load_trained

Listener = Callable[[str, Any], None]


@dataclass(frozen=True)
class Start:
    """What a run begins with, once clips are encoded and the encoders are freed.

    Attributes:
        base: The base by its configs: no weights.
        component: Name of the trained transformer in the pipeline.
        denoiser: It, with its family and null text.
        masks: New entries of the widened projections; empty for the control.
        data: Encoded clips.
        encoders: Of the base, for clips that are encoded in the steps.
        plan: What is sampled at intervals; None where nothing is.
    """

    base: LoadedModel
    component: str
    denoiser: Denoiser
    masks: dict[str, Tensor]
    data: EncodedData
    encoders: StoredEncoders
    plan: Plan | None = None


def begin(
    config: TrainConfig, device: torch.device, first: Callable[[], AbstractContextManager[Any]], say: Listener
) -> Start:
    """Encode the clips, free the encoders, and load of the base what is trained.

    Args:
        config: The recipe.
        device: Where encoders and transformer compute.
        first: Gives the context in which the first process goes before the others, which find the clips in the cache.
        say: Called with notes and the progress of encoding.

    Raises:
        VideoJamError: recipe and base don't fit, a clip can't be used, or weights are damaged or not finite.
    """
    say("note", f"loading {config.base}")
    folder = open_folder(resolve(config.base))
    is_converted = bool(folder.is_joint())
    encoders = _Checked(config.base, device, config.image_to_video)
    base = encoders.outline
    component = chosen_component(config, folder)
    gamma = config.objective.min_snr_gamma
    if gamma is not None:
        base.family.min_snr_weight(torch.ones(1), gamma)  # refuses a flow model before anything is encoded
    with first():
        data = _encode(config, encoders, say)
        moving = _moving_weight(config, encoders)
        plan = plan_samples(config, encoders, component, data)
    if config.method == "videojam" and not is_converted:
        words = "its projections are widened, as `videojam convert` does"
        say("note", f"{config.base} was not converted yet: {words}")
    transformer = load_trained(config, folder, component)
    check_finite_weights({component: transformer}, config.base)
    if config.parallel.kind != "fsdp":  # which moves a block at a time, to cut it
        place(transformer, device, keep_blocks=config.offload_blocks is not None)
    is_joint = config.method == "videojam"
    family = base.family.at_noise(config.motion.noise) if is_joint else base.family
    masks = new_entries(transformer, family) if is_joint else {}
    sigma_range = family.sigma_range(base.pipeline, component)
    times = family.training_times(base.pipeline.scheduler)
    denoiser = Denoiser(
        transformer, family, is_joint, data.null_text, sigma_range, moving, min_snr_gamma=gamma, times=times
    )
    return Start(base, component, denoiser, masks, data, encoders, plan)


@contextmanager
def clip_reader(config: TrainConfig, encoders: StoredEncoders) -> Iterator[OnlineReader | None]:
    """Give what encodes clips in the steps, with the autoencoder loaded as long; None where clips are encoded already.

    Args:
        config: The recipe.
        encoders: Of the base.
    """
    if config.data.encode == "once":
        yield None
        return
    estimator = OnFirstUse(config.motion.estimator, config.raft_weights, encoders.device)
    with encoders.pixels() as model:
        yield OnlineReader(model, config.motion, estimator, config.data, config.seed)


class _Checked(StoredEncoders):
    """Encoders whose weights are looked at before anything is encoded with them."""

    @contextmanager
    def text(self) -> Iterator[LoadedModel]:
        """Load and check the text encoders."""
        with super().text() as model:
            yield self._checked(model)

    @contextmanager
    def pixels(self) -> Iterator[LoadedModel]:
        """Load and check the autoencoder and image encoder."""
        with super().pixels() as model:
            yield self._checked(model)

    def _checked(self, model: LoadedModel) -> LoadedModel:
        check_finite_weights(model.pipeline.components, str(self.source))
        return model


@torch.no_grad()
def _moving_weight(config: TrainConfig, encoders: Encoders) -> MovingWeight | None:
    """Encode a clip in which nothing moves, where the recipe weights the error by motion."""
    if config.objective.moving_weight == 1:
        return None
    source, code = config.data.source, config.motion
    video = code.still(source.height, source.width).expand(source.num_frames, -1, -1, -1)
    with encoders.pixels() as model:
        still = model.family.encode_video(model.pipeline, video_of(video.movedim(1, 0)[None])) * code.gain
    return MovingWeight(config.objective.moving_weight, still)


def _encode(config: TrainConfig, encoders: StoredEncoders, say: Listener) -> EncodedData:
    """Encode the clips; the flow estimator is built only where a clip has no exact flow."""
    estimator = OnFirstUse(config.motion.estimator, config.raft_weights, encoders.device)
    is_online = config.data.encode == "online"
    data = prepare(
        encoders, config.data, config.motion, estimator=estimator,
        stored=(lambda num: heldout_numbers(num, config.data.num_heldout_of(num))) if is_online else None,
        progress=lambda done, total: say("encode", (done, total)),
    )  # fmt: skip
    for note in data.notes:
        say("note", note)
    for name, reason in data.left_out.items():
        say("note", f"left out {name}: {reason}")
    return data
