"""The settings of the objective: weight of the motion half, dropout, and the distribution of times."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from videojam.families.training_times import TrainingTimes
from videojam.misfits import ContradictionError
from videojam.strict import Strict


class ObjectiveConfig(Strict):
    """Eq. 6 and what surrounds it."""

    motion_weight: float = Field(1.0, description="λ of mean_x + λ·mean_d; 1 is the paper's.", ge=0)
    motion_weight_end: float | None = Field(
        None, description="λ at the last step, reached linearly; default: motion_weight throughout.", ge=0
    )
    moving_weight: float = Field(
        1.0,
        description="Of method plain: weight of the appearance error at the place of a clip that moves most; 1 where "
        "it is still. 1 everywhere by default.",
        gt=0,
    )
    text_dropout: float = Field(
        0.3, description="Share of samples with null text [reported: 0.3].", ge=0, le=1
    )
    motion_dropout: float = Field(
        0.2, description="Share of samples whose motion input is null, zeros [reported: 0.2].", ge=0, le=1
    )
    min_snr_gamma: float | None = Field(
        None,
        description="Of v-prediction (CogVideoX): γ of min-SNR, which weights a clip's error by min(SNR, γ)/(SNR + 1); "
        "5 is usual. Default: every time counts alike.",
        gt=0,
    )
    t_sampling: Literal["logit_normal", "uniform", "base"] = Field(
        "logit_normal",
        description="Distribution of t (0 noise, 1 data). base: the base's own, logit_normal with the shift of its "
        "scheduler, or uniform (CogVideoX).",
    )
    t_mean: float = Field(0.0, description="Mean of logit(t), for logit_normal.")
    t_std: float = Field(1.0, description="Standard deviation of logit(t), for logit_normal.", gt=0)
    t_shift: float = Field(1.0, description="Flow shift of training: σ ← shift·σ / (1 + (shift−1)·σ).", gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> ObjectiveConfig:
        if self.t_sampling == "base" and self.t_shift != 1:
            raise ContradictionError(
                "t_sampling: base has the base's own shift: leave t_shift out, or set t_sampling: logit_normal",
                {"t_sampling": self.t_sampling, "t_shift": self.t_shift},
            )
        return self

    def of_base(self, times: TrainingTimes, num_tokens: int) -> ObjectiveConfig:
        """Return the objective with the base's own times in place of `t_sampling: base`.

        Args:
            times: The base's.
            num_tokens: Latent positions of a clip.
        """
        if self.t_sampling != "base":
            return self
        own = {"t_sampling": times.density, "t_shift": times.shift_at(num_tokens)}
        return self.model_copy(update=own)
