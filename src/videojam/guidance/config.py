"""How a model is guided: the rule, its weights, and when the motion branch runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from videojam.guidance.rules import JOINT_DEFAULT, RULES, rule_of
from videojam.guidance.window import AsWindow, Window
from videojam.strict import Strict

if TYPE_CHECKING:
    from videojam.guidance.rules.rule import Rule, Weights


def _known(name: str) -> str:
    if name not in RULES:
        raise ValueError(f"one of {', '.join(RULES)}")
    return name


Mode = Annotated[str, AfterValidator(_known)]
"""Name of a guidance rule."""
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
MotionOn = Literal["both", "appearance"]


class Guidance(Strict):
    """Guidance of one sampling run; the defaults are the paper's."""

    mode: Mode = Field(
        JOINT_DEFAULT, description="; ".join(f"{name}: {meaning}" for name, meaning in RULES.items()) + "."
    )
    w_text: Weight = Field(
        5.0,
        description="w1; a diffusers guidance_scale is 1 + w1. With ip2p an absolute scale: 1 is no guidance.",
    )
    w_motion: Weight = Field(
        3.0,
        description="w2, the weight of the model's own motion. With ip2p an absolute scale: 1 is no guidance.",
    )
    w_auto: Weight = Field(1.0, description="w of autoguidance, the weight of what a weaker model lacks.")
    motion_on: MotionOn = Field(
        "both", description="What w2 guides: both halves (paper) or only the appearance."
    )
    window: AsWindow = Field(
        Window(),
        description="When motion guidance runs; plain text guidance otherwise. Paper: half the steps.",
    )
    batched: bool = Field(
        False, description="Run the null-motion branch in one batch with its pass: faster, more memory."
    )
    reuse_every: int = Field(
        1,
        ge=1,
        description="Compute what text and motion guidance add on every n-th step, and reuse it on the others, "
        "which cost one forward each; 1: on every step.",
    )
    lead: float = Field(
        1.0,
        gt=0,
        allow_inf_nan=False,
        description="How far d is ahead of x, of a model with motion.noise: own: 1 − t_d = (1 − t)^lead. 1: at the "
        "same level.",
    )
    drop_motion: bool = Field(
        False,
        description="Ablation 'w/o optical flow': d = 0 in every forward, so there is no motion branch.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Guidance:
        if self.drop_motion and self.rule.needs_motion:
            raise ValueError(f"guidance {self.mode} without drop_motion, as it guides with the motion")
        if self.batched and self.rule.needs_weaker:
            raise ValueError(f"guidance {self.mode} without batched, as its branch is another model")
        return self

    @property
    def rule(self) -> Rule:
        """The rule of that name."""
        return rule_of(self.mode)

    @property
    def weights(self) -> Weights:
        """w1, w2 and w."""
        from videojam.guidance.rules.rule import Weights

        return Weights(self.w_text, self.w_motion, self.w_auto)

    @property
    def uses_motion_branch(self) -> bool:
        """Whether any step may need the rule's branch: a forward with null motion, or of a weaker model."""
        has_branch = self.rule.needs_weaker or not self.drop_motion
        return has_branch and self.rule.uses_branch(self.weights)


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"window": Window(), "reuse_every": 1},
    "two-forwards": {"window": Window(end=1.0), "reuse_every": 2},
}
"""Named schedules of Inner-Guidance, as fields of `Guidance`; the weights stay the model's.

`two-forwards` guides by motion all the way and costs 3, 1, 3, 1, … forwards: two a step, as plain CFG.
"""
