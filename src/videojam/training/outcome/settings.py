"""How a model is exported."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from videojam.strict import Strict


class ExportSettings(Strict):
    """What an export is made of, and what its card shows."""

    weights: Literal["average", "last"] = Field(
        "average", description="Of a run: its averaged weights (EMA), or those of its last step."
    )
    lora: Path | None = Field(
        None, description="Folder of a run's adapters (RUN/lora), merged into the model, which is their base."
    )
    expert: str | None = Field(
        None, description="Of a model with two experts, the one that the adapters belong to."
    )
    save_dtype: Literal["bf16", "fp32"] | None = Field(
        None, description="Type of weights that adapters are merged into; None: bf16."
    )
    single_file: bool = Field(
        False,
        description="Write one file with the original names for ComfyUI in place of the diffusers folder.",
    )
    prompts: tuple[str, ...] = Field((), description="Prompts of the card's samples.")
    seed: int = Field(0, ge=0, description="Seed of the first sample.")
    num_steps: int | None = Field(None, ge=1, description="Sampling steps of the samples; None: the model's.")
    license: str | None = Field(
        None,
        min_length=1,
        description="Identifier of the licence, as apache-2.0; None: as the base's folder states.",
    )
    device: str = Field("cpu", description="Where samples are made and the model is verified.")

    @model_validator(mode="after")
    def _consistent(self) -> ExportSettings:
        if self.lora is not None and self.weights == "last":
            raise ValueError("weights = last of a run, or lora, not both: adapters hold the averaged weights")
        if self.expert is not None and self.lora is None:
            raise ValueError("expert only with lora; a run's recipe names its own expert")
        if self.save_dtype is not None and self.lora is None:
            raise ValueError("save_dtype only with lora; a run's recipe has its own")
        if not all(prompt.strip() for prompt in self.prompts):
            raise ValueError("prompts with words in them")
        if self.num_steps is not None and not self.prompts:
            raise ValueError("num_steps only with prompts, as it is of the samples")
        return self
