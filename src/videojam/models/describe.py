"""What a folder or hub id is and what converting changes in it, from only configs and file headers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from videojam.families.table import ClassFacts, class_facts
from videojam.models.folder import TransformerFolder, open_folder
from videojam.models.header import Entry, Header
from videojam.models.record import MotionRecord
from videojam.models.resolve import is_hub_id, resolve
from videojam.models.tensors import Shapes, shapes_of_config


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True)


class ShapeChange(_Facts):
    """A tensor that converting changes."""

    name: str = Field(description="Name in the weights.")
    before: list[int] = Field(description="Shape in the base model.")
    after: list[int] = Field(description="Shape in the joint model.")

    @property
    def num_added(self) -> int:
        """Parameters that the joint model has more."""
        return math.prod(self.after) - math.prod(self.before)


class TransformerFacts(ClassFacts):
    """One transformer of a model: its class, and what converting changes in it."""

    component: str = Field(description="Name in the pipeline; empty for a bare transformer folder.")
    num_channels: int = Field(description="C, the channels of the appearance latent.")
    dtypes: dict[str, int] = Field(description="Parameters by type; empty where only the config is known.")
    num_parameters: int = Field(description="Parameters as it is.")
    joint_shapes: Shapes = Field(
        description="Shape of every tensor of the joint model.", exclude=True, repr=False
    )
    changes: list[ShapeChange] = Field(description="What converting changes (or changed, if joint).")
    num_projection_parameters: int = Field(description="Parameters of the joint model's two projections.")

    @property
    def num_added(self) -> int:
        """Parameters that converting adds (or added)."""
        return sum(change.num_added for change in self.changes)

    @property
    def num_joint_parameters(self) -> int:
        """Parameters of the joint model."""
        return _count(self.joint_shapes.values())


class ModelFacts(_Facts):
    """What a folder or hub id is."""

    source: str = Field(description="As the user named it.")
    pipeline_class: str | None = Field(description="Class of the pipeline; None for a bare transformer.")
    is_joint: bool | None = Field(description="Joint or base; None: a bare transformer folder does not say.")
    record: MotionRecord | None = Field(description="The motion record of a joint model.")
    transformers: list[TransformerFacts] = Field(description="Two for mixtures of experts.")
    num_other_parameters: dict[str, int] | None = Field(
        description="Of the other components (encoders, autoencoder), where weight files state it; else None."
    )
    encoder_bytes: dict[str, int] | None = Field(
        description="Their weights as training loads them: text encoders in their own type, the rest in float32."
    )


def describe_model(
    source: str | Path, revision: str | None = None, *, configs_only: bool | None = None
) -> ModelFacts:
    """Describe a model. Reads configs and headers of weight files; of a hub id, fetches only configs.

    Args:
        source: Pipeline folder, bare transformer folder, hub id or shipped model.
        revision: Revision of a hub id.
        configs_only: Whether the folder holds no weights; None: only a hub id's is taken so.

    Raises:
        VideoJamError: as converting would, but for joint models, which are described too.
    """
    configs_only = is_hub_id(source) if configs_only is None else configs_only
    folder = open_folder(resolve(source, revision, configs_only=configs_only), configs_only=configs_only)
    is_joint = folder.is_joint() if folder.pipeline_class or folder.record else None
    others = None
    if not configs_only and "" not in folder.transformers:
        others = {name: _entries(headers) for name, headers in sorted(folder.others.items()) if headers}
    return ModelFacts(
        source=str(source),
        pipeline_class=folder.pipeline_class,
        is_joint=is_joint,
        record=folder.record,
        transformers=[
            _describe(name, transformer, bool(is_joint), configs_only)
            for name, transformer in folder.transformers.items()
        ],
        num_other_parameters=None
        if others is None
        else {name: _count_all(entries) for name, entries in others.items()},
        encoder_bytes=None
        if others is None
        else {name: _bytes_loaded(name, entries) for name, entries in others.items()},
    )


def _entries(headers: Iterable[Header]) -> list[Entry]:
    """Return the tensors of files, each once: some files may be variants that repeat the names of others."""
    return list({name: entry for header in headers for name, entry in header.entries.items()}.values())


def _bytes_loaded(name: str, entries: Iterable[Entry]) -> int:
    if name.startswith("text_encoder"):
        return sum(entry.end - entry.start for entry in entries)
    return 4 * _count_all(entries)


def _count_all(entries: Iterable[Entry]) -> int:
    return sum(entry.num_parameters for entry in entries)


def _describe(
    component: str, transformer: TransformerFolder, is_joint: bool, configs_only: bool
) -> TransformerFacts:
    family, config = transformer.family, transformer.config
    base, joint = (family.base_config(config), config) if is_joint else (config, family.joint_config(config))
    shapes, dtypes = (shapes_of_config(config), {}) if configs_only else _shapes_of_headers(transformer)
    changes = []
    for name in sorted(family.projection_names(shapes)):
        if is_joint:
            before, after = family.base_shape(name, shapes[name], joint), shapes[name]
        else:
            before, after = shapes[name], family.joint_shape(name, shapes[name], base)
        if before != after:
            changes.append(ShapeChange(name=name, before=before, after=after))
    joint_shapes = shapes | {change.name: change.after for change in changes}
    return TransformerFacts(
        **class_facts(family).model_dump(),
        component=component,
        num_channels=family.latent_channels(base),
        dtypes=dtypes,
        num_parameters=_count(shapes.values()),
        joint_shapes=joint_shapes,
        changes=changes,
        num_projection_parameters=_count(
            shape for name, shape in joint_shapes.items() if family.is_of_projection(name)
        ),
    )


def _count(shapes: Iterable[list[int]]) -> int:
    return sum(math.prod(shape) for shape in shapes)


def _shapes_of_headers(transformer: TransformerFolder) -> tuple[Shapes, dict[str, int]]:
    """Return every tensor's shape, and parameters by type; files of other variants repeat the names."""
    shapes: Shapes = {}
    dtypes: dict[str, int] = {}
    for header in transformer.headers:
        for name, entry in header.entries.items():
            if name not in shapes:
                shapes[name] = entry.shape
                dtypes[entry.dtype] = dtypes.get(entry.dtype, 0) + entry.num_parameters
    return shapes, dtypes
