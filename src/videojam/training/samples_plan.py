"""What validation clips show: their texts, encoded when the run starts, first frames and settings."""

from __future__ import annotations

from dataclasses import dataclass, replace

from videojam import fingerprints
from videojam.data.encoded import EncodedData
from videojam.errors import VideoJamError
from videojam.guidance.rules import BASE_DEFAULT, rule_of
from videojam.models.encoders import StoredEncoders
from videojam.models.load import LoadedModel, family_at
from videojam.models.texts_apart import TextsApart
from videojam.sampling.settings import SampleSettings, resolve, settings_of
from videojam.training.batches import split_heldout
from videojam.training.config import SamplesConfig, TrainConfig
from videojam.training.finish import record_after
from videojam.training.sample_files import FOLDER

NUM_CAPTIONS = 2
OF_MOTION = ("mode", "preset", "w_motion", "motion_on", "window", "batched", "drop_motion", "lead")
"""Settings that a base has no use for."""


@dataclass(frozen=True)
class Plan:
    """What is sampled, with its texts encoded.

    Attributes:
        prompts: A text for each clip.
        settings: How, with the sizes of the training clips where the recipe leaves them open.
        texts: The encoded texts.
        key: Hash of all that the base's clips depend on.
    """

    prompts: list[str]
    settings: SampleSettings
    texts: TextsApart
    key: str


def plan_samples(
    config: TrainConfig, encoders: StoredEncoders, component: str, data: EncodedData
) -> Plan | None:
    """Decide what is sampled, and encode its texts unless an earlier start of the run did; None without `samples`.

    Raises:
        VideoJamError: an image that is missing or not asked for, or settings that don't fit.
    """
    asked, base = config.samples, encoders.outline
    if asked is None:
        return None
    _, heldout = split_heldout(data.clips, config.data.num_heldout_of(len(data.clips)))
    prompts = list(asked.prompts or [clip.caption for clip in heldout[:NUM_CAPTIONS]])
    _check_images(asked, base, prompts)
    source = config.data.source
    sizes = {name: getattr(source, name) for name in ("num_frames", "height", "width", "fps")}
    length = {"max_sequence_length": config.data.max_sequence_length}
    settings = settings_of(None, {**sizes, **length, **asked.settings.given})
    resolved = resolve(as_trained(config, base, 0), settings_at(config, settings))  # refuses what doesn't fit
    facts = {
        "base": [encoders.fingerprint(component), *encoders.text_fingerprints()],
        "samples": asked.model_dump(mode="json", exclude={"every", "tiled"}),
        "prompts": prompts,
        "settings": settings.model_dump(mode="json"),
        "images": [fingerprints.of_file(path) for path in asked.images],
        "precision": config.precision,
        "motion": config.motion.model_dump(mode="json"),
    }
    key = fingerprints.of_data(facts)[:16]
    texts = TextsApart(encoders.source, encoders.device)
    path = config.out / FOLDER / f"texts-{key}.safetensors"
    texts.read(path)
    if not texts.known:
        texts.encode([*prompts, resolved.negative_prompt or ""], resolved.max_sequence_length)
        texts.save(path)
    return Plan(prompts, settings, texts, key)


def _check_images(asked: SamplesConfig, base: LoadedModel, prompts: list[str]) -> None:
    """Refuse a base that takes an image without one, and images for one that takes none."""
    needs = base.family.takes_image(base.pipeline)
    missing = [path for path in asked.images if not path.is_file()]
    if missing:
        found, fix = f"no such file: {missing[0]}", "Correct the path."
    elif needs and not asked.images:
        found, fix = "none", "Give samples.prompts and samples.images, a picture for each."
    elif asked.images and not needs:
        found, fix = f"{len(asked.images)}, and the base takes none", "Leave samples.images out."
    else:
        return
    raise VideoJamError(
        expected=f"{len(prompts)} first frames, as the base is image-to-video"
        if needs
        else "no first frames",
        found=found,
        where="samples.images",
        fix=fix,
    )


def as_trained(config: TrainConfig, model: LoadedModel, step: int) -> LoadedModel:
    """Return a model with the record and family that it has after steps of the run."""
    record = record_after(config, model.record, step, None) if config.method == "videojam" else None
    return replace(model, record=record, family=family_at(model.pipeline, record))


def settings_at(config: TrainConfig, settings: SampleSettings) -> SampleSettings:
    """Return the settings of the model's clips; of the control those of a base."""
    return settings if config.method == "videojam" else settings_of_base(settings)


def settings_of_base(settings: SampleSettings) -> SampleSettings:
    """Return the settings of the base's clips: the same text guidance, and no guidance by motion."""
    kept = {name: value for name, value in settings.given.items() if name not in OF_MOTION}
    unguided = settings.mode is not None and not rule_of(settings.mode).has_null_text
    return SampleSettings(**{**kept, "mode": settings.mode if unguided else BASE_DEFAULT})
