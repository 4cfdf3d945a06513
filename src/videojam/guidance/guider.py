"""Inner-Guidance as a diffusers guider, for modular pipelines and for HunyuanVideo 1.5.

Guiders are experimental in diffusers and say so when one is built; the hook (`guidance.hook`) needs none of this.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.guiders.guider_utils import BaseGuidance, GuiderOutput

from videojam.families import family_of
from videojam.families.stock import Transformer
from videojam.guidance.config import Guidance
from videojam.guidance.halves import Halves
from videojam.guidance.rules.inner import RULE
from videojam.guidance.rules.rule import Predictions
from videojam.guidance.window import Window

TEXT, NULL_TEXT, NULL_MOTION = "pred_cond", "pred_uncond", "pred_null_motion"


class InnerGuidance(BaseGuidance):
    """Inner-Guidance (Eq. 8 of arXiv 2502.02492), a thin adapter of `guidance.rules.inner`.

    A guider's batches carry only text inputs, so the pass with null motion gets a hook on the transformer that
    zeroes the motion channels of its input, as diffusers' `SkipLayerGuidance` does with its own hook. A model whose
    motion has a noise level of its own gets that of x as its level.

    Args:
        w_text: w1 ≥ 0; a diffusers guidance_scale is 1 + w1.
        w_motion: w2 ≥ 0.
        motion_start: Where motion guidance begins, as a share of the steps.
        motion_stop: Where it ends; the end itself is outside.
        enabled: Whether to guide at all.
    """

    # the base class declares None, and reads a list from its subclasses
    _input_predictions = [TEXT, NULL_TEXT, NULL_MOTION]  # type: ignore[assignment]  # noqa: RUF012

    @register_to_config
    def __init__(
        self,
        w_text: float = 5.0,
        w_motion: float = 3.0,
        motion_start: float = 0.0,
        motion_stop: float = 0.5,
        enabled: bool = True,
    ) -> None:
        super().__init__(enabled=enabled)
        window = Window(start=motion_start, end=motion_stop)
        self.guidance = Guidance(w_text=w_text, w_motion=w_motion, window=window)
        self._hook: Any = None

    @property
    def passes(self) -> list[str]:
        """Names of the passes of the current step, in their order."""
        if not self._enabled:
            return [TEXT]
        names = [TEXT, NULL_TEXT] if self.guidance.w_text else [TEXT]
        return [*names, NULL_MOTION] if self._in_window() else names

    def _in_window(self) -> bool:
        if not self.guidance.uses_motion_branch:
            return False
        if self._step is None or self._num_inference_steps is None:
            return True  # asked before the loop: whether negative prompts are needed
        steps = self.guidance.window.steps([0.0] * self._num_inference_steps)  # a share needs no times
        return self._step in steps

    @property
    def is_conditional(self) -> bool:
        """Whether the pass under way has the prompt."""
        return self.passes[self._count_prepared - 1] != NULL_TEXT

    @property
    def num_conditions(self) -> int:
        """Number of passes of the current step."""
        return len(self.passes)

    def prepare_models(self, denoiser: torch.nn.Module) -> None:
        """Begin a pass: hook the transformer, whose input gets d's noise level, or null motion."""
        super().prepare_models(denoiser)
        is_null = self.passes[self._count_prepared - 1] == NULL_MOTION
        hook = partial(_joint_input, is_null=is_null)
        self._hook = denoiser.register_forward_pre_hook(hook, with_kwargs=True)

    def cleanup_models(self, denoiser: torch.nn.Module) -> None:
        """End a pass."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def prepare_inputs(self, data: Any) -> list[Any]:
        """Return the text inputs of each pass."""
        return [self._prepare_batch(data, int(name == NULL_TEXT), name) for name in self.passes]

    def prepare_inputs_from_block_state(self, data: Any, input_fields: dict[str, Any]) -> list[Any]:
        """Return the text inputs of each pass, from a modular pipeline's state."""
        return [
            self._prepare_batch_from_block_state(input_fields, data, int(name == NULL_TEXT), name)
            for name in self.passes
        ]

    def forward(
        self,
        pred_cond: torch.Tensor,
        pred_uncond: torch.Tensor | None = None,
        pred_null_motion: torch.Tensor | None = None,
    ) -> GuiderOutput:
        """Combine the passes: Eq. 8, or text guidance outside of the window.

        Args:
            pred_cond: u(x, d, y).
            pred_uncond: u(x, d, ∅); not there if w1 = 0.
            pred_null_motion: u(x, 0, y); not there outside of the window.
        """
        seen = Predictions(pred_cond, pred_uncond, pred_null_motion)
        guided = RULE.combine(seen, self.guidance.weights)
        return GuiderOutput(pred=guided, pred_cond=pred_cond, pred_uncond=pred_uncond)


def _joint_input(module: Transformer, args: tuple[Any, ...], kwargs: dict[str, Any], is_null: bool) -> Any:
    """Give a joint transformer null motion, or d's noise level where it reads one channel more than it got."""
    family, hidden = family_of(module), kwargs["hidden_states"]
    has_level = module.config[family.in_key] == hidden.shape[family.channel_dim] + 1
    halves = Halves.of(family.at_noise("own" if has_level else "same"), module)
    if has_level:
        t = 1 - family.sigma_of(kwargs["timestep"].flatten()[0].float())
        hidden = halves.input_at(hidden, float(t))
    return args, {**kwargs, "hidden_states": halves.null(hidden) if is_null else hidden}
