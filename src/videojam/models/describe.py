"""Telling of a folder or hub id what it is and what converting changes, from configs and file headers alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from videojam.errors import VideoJamError
from videojam.families.table import ClassFacts, class_facts
from videojam.models.check import (
    TransformerFolder,
    check_pipeline,
    find_transformers,
    has_joint_channels,
    read_json,
)
from videojam.models.record import MotionRecord, load_record
from videojam.models.resolve import is_hub_id, resolve
from videojam.models.stream import read_header

Shapes = dict[str, list[int]]


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
    pipeline_class: str | None = Field(description="Class of the pipeline; none for a bare transformer.")
    is_joint: bool | None = Field(description="Joint or base; none: not told by a bare transformer folder.")
    record: MotionRecord | None = Field(description="The motion record of a joint model.")
    transformers: list[TransformerFacts] = Field(description="Two for mixtures of experts.")
    num_other_parameters: dict[str, int] | None = Field(
        description="Of the other components (encoders, autoencoder), where weight files tell; else none."
    )


def describe_model(source: str | Path, revision: str | None = None) -> ModelFacts:
    """Tell what a model is. Reads configs and headers of weight files; of a hub id, fetches configs alone.

    Args:
        source: Pipeline folder, bare transformer folder, hub id or shipped model.
        revision: Revision of a hub id.

    Raises:
        VideoJamError: as converting would, but for joint models, which are described too.
    """
    configs_only = is_hub_id(source)
    folder = resolve(source, revision, configs_only=configs_only)
    found = find_transformers(folder, allow_joint=True, configs_only=configs_only)
    index = folder / "model_index.json"
    record = load_record(folder)
    is_joint = _is_joint(folder, found, record) if index.is_file() or record else None
    return ModelFacts(
        source=str(source),
        pipeline_class=read_json(index).get("_class_name") if index.is_file() else None,
        is_joint=is_joint,
        record=record,
        transformers=[
            _describe(name, transformer, bool(is_joint), configs_only) for name, transformer in found.items()
        ],
        num_other_parameters=None if configs_only or "" in found else _count_others(folder, found),
    )


def _count_others(folder: Path, transformers: Iterable[str]) -> dict[str, int]:
    counts = {}
    for name in sorted(check_pipeline(folder).keys() - set(transformers)):
        shapes = {
            tensor: entry["shape"]
            for file in (folder / name).glob("*.safetensors")
            for tensor, entry in read_header(file)[0].items()
            if tensor != "__metadata__"
        }
        if shapes:
            counts[name] = _count(shapes.values())
    return counts


def _is_joint(folder: Path, found: dict[str, TransformerFolder], record: MotionRecord | None) -> bool:
    if "" in found:
        return record is not None
    joint = {name: has_joint_channels(folder, transformer) for name, transformer in found.items()}
    if len(set(joint.values())) > 1:
        raise VideoJamError(
            expected="all transformers of the pipeline joint, or none",
            found=", ".join(f"{name}: {'joint' if is_joint else 'base'}" for name, is_joint in joint.items()),
            where=str(folder),
            fix="Convert the whole pipeline folder.",
        )
    return all(joint.values())


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
    for file in transformer.weight_files():
        for name, entry in read_header(file)[0].items():
            if name != "__metadata__" and name not in shapes:
                shapes[name] = entry["shape"]
                dtypes[entry["dtype"]] = dtypes.get(entry["dtype"], 0) + math.prod(entry["shape"])
    return shapes, dtypes


def shapes_of_config(config: dict[str, Any]) -> Shapes:
    """Return every tensor's shape of a transformer that is built from its config without memory."""
    import diffusers
    from accelerate import init_empty_weights

    with init_empty_weights():
        transformer = getattr(diffusers, config["_class_name"]).from_config(config)
    return {name: list(tensor.shape) for name, tensor in transformer.state_dict().items()}
