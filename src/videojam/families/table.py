"""The table of known base architectures, for `videojam families`, and what it shares with `videojam inspect`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from videojam.families import FAMILIES, Family, Projections


class ClassFacts(BaseModel):
    """A known transformer class, as `families` and `inspect` show it."""

    model_config = ConfigDict(frozen=True)

    transformer_class: str = Field(description="Class in diffusers.")
    checkpoints: str = Field(description="Published models of the class.")
    prediction: str = Field(description="What the network predicts.")
    supported: str = Field(description="What this package does with it.")


class FamilyRow(ClassFacts):
    """A class with the layers that converting changes."""

    input_projection: str = Field(description="Layer that reads the latents.")
    output_projection: str = Field(description="Layer that writes the prediction.")
    layout: str = Field(description="Order of the output rows.")


def class_facts(family: Projections) -> ClassFacts:
    """Return what is reported of a family wherever it is named."""
    verbs = ["convert"]
    if isinstance(family, Family):
        verbs += ["train", "sample", *(["also from a first frame"] if family.image_pipelines else [])]
    return ClassFacts(
        transformer_class=family.transformer_class,
        checkpoints=family.checkpoints,
        prediction=family.prediction,
        supported=", ".join(verbs),
    )


def family_table() -> list[FamilyRow]:
    """Return a row for each registered class, by name."""
    return [
        FamilyRow(
            **class_facts(family).model_dump(),
            input_projection=family.input_projection,
            output_projection=family.output_projection,
            layout=family.output_layout,
        )
        for _, family in sorted(FAMILIES.items())
    ]
