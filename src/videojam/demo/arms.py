"""The three arms of the demo: which model each one loads and how it is guided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videojam.demo.result import ARMS
from videojam.guidance.config import GuidanceConfig
from videojam.models.load import LoadedModel, load_model
from videojam.sampling.sample import SampleOutput, sample
from videojam.sampling.settings import default_guidance
from videojam.tiny import PREFIX, assemble


@dataclass(frozen=True)
class Arm:
    """A model with its guidance.

    Attributes:
        name: A key of `ARMS`.
        model: The loaded pipeline.
        guidance: Text guidance for base and control, Inner-Guidance for VideoJAM.
    """

    name: str
    model: LoadedModel
    guidance: GuidanceConfig

    def sample(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        batch_size: int,
        **size: Any,
    ) -> Iterator[SampleOutput]:
        """Sample the prompts batch by batch; x's noise is a function of the seed, the same in each arm.

        Args:
            prompts: One for each clip.
            seeds: One for each clip.
            batch_size: Clips sampled together.
            size: num_frames, height, width and num_steps, as in `sample`.
        """
        for start in range(0, len(prompts), batch_size):
            batch = slice(start, start + batch_size)
            yield sample(self.model, prompts[batch], seeds=seeds[batch], guidance=self.guidance, **size)


def load_arm(name: str, models: Path | None) -> Arm:
    """Load a shipped model, or the one of that name in a folder, and choose its guidance.

    Args:
        name: A key of `ARMS`.
        models: Folder that holds `base/`, `control/` and `videojam/`; the shipped ones if not given.
    """
    model = load_model(PREFIX + name if models is None else assemble(Path(models), name))
    guidance = default_guidance(model)
    if name != "videojam":
        # A control of joint shape was trained with its motion input at zero, so it is sampled so.
        guidance = guidance.model_copy(update={"mode": "cfg", "drop_motion": model.is_joint})
    return Arm(name, model, guidance)


def load_arms(models: Path | None) -> list[Arm]:
    """Load all arms."""
    return [load_arm(name, models) for name in ARMS]
