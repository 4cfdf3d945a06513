"""The table of known base architectures, for `videojam families`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from videojam.families import FAMILIES


class FamilyRow(BaseModel):
    """One known transformer class."""

    model_config = ConfigDict(frozen=True)

    transformer_class: str = Field(description="Class in diffusers.")
    checkpoints: str = Field(description="Published models of the class.")
    prediction: str = Field(description="What the network predicts.")
    input_projection: str = Field(description="Layer that reads the latents.")
    output_projection: str = Field(description="Layer that writes the prediction.")
    layout: str = Field(description="Order of the output rows.")
    supported: str = Field(description="What this package does with it.")


def family_table() -> list[FamilyRow]:
    """Return a row for each registered class, by name."""
    return [
        FamilyRow(
            transformer_class=name,
            checkpoints=family.checkpoints,
            prediction=family.prediction,
            input_projection=family.input_projection,
            output_projection=family.output_projection,
            layout=family.output_layout,
            supported="convert, train, sample" if family.is_trained else "convert",
        )
        for name, family in sorted(FAMILIES.items())
    ]
