"""The settings of the objective: weight of the motion half, dropout, and the distribution of times."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

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
    t_sampling: Literal["logit_normal", "uniform"] = Field(
        "logit_normal", description="Distribution of t (0 noise, 1 data)."
    )
    t_mean: float = Field(0.0, description="Mean of logit(t), for logit_normal.")
    t_std: float = Field(1.0, description="Standard deviation of logit(t), for logit_normal.", gt=0)
    t_shift: float = Field(1.0, description="Flow shift of training: σ ← shift·σ / (1 + (shift−1)·σ).", gt=0)
