"""AdamW on bf16 weights with stochastic rounding: no float32 copy of the weights, and small updates still count.

A bf16 number has 8 bits of mantissa, so an update below 1/512 of a weight is lost when it is rounded to the nearest;
rounded up with the probability of what is cut off, it is right on average (Gupta et al. 2015, arXiv 1502.02551).
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import BFloat16, Float32
from torch import Tensor
from torch.optim.adamw import adamw

from videojam.seeds import generator_of


def rounded_stochastically(
    value: Float32[Tensor, " *shape"], generator: torch.Generator
) -> BFloat16[Tensor, " *shape"]:
    """Round to bf16, up or down with the probabilities that make the mean exact.

    Random bits are added to the 16 bits that bf16 has not; a carry is the rounding up.

    Args:
        value: Finite numbers.
        generator: On their device.
    """
    bits = value.contiguous().view(torch.int32)
    noise = torch.randint(
        0, 1 << 16, value.shape, dtype=torch.int32, device=value.device, generator=generator
    )
    return ((bits + noise) & -(1 << 16)).view(torch.float32).to(torch.bfloat16)


class StochasticAdamW(torch.optim.Optimizer):
    """AdamW with float32 moments; bf16 weights are rounded stochastically, by draws of only (seed, step)."""

    def __init__(
        self, params: list[Tensor], *, lr: float, betas: tuple[float, float], weight_decay: float, seed: int
    ) -> None:
        self.seed = seed
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take one step, a parameter after another: its float32 copy lives that long."""
        for group in self.param_groups:
            for number, parameter in enumerate(group["params"]):
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, number, group)

    def _update(self, parameter: Tensor, gradient: Tensor, number: int, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            for moment in ("exp_avg", "exp_avg_sq"):
                state[moment] = torch.zeros_like(parameter, dtype=torch.float32)
        value = parameter.float()
        beta1, beta2 = group["betas"]
        adamw(
            [value], [gradient.float()], [state["exp_avg"]], [state["exp_avg_sq"]], [], [state["step"]],
            amsgrad=False, beta1=beta1, beta2=beta2, lr=group["lr"], weight_decay=group["weight_decay"],
            eps=1e-8, maximize=False,
        )  # fmt: skip
        seed = generator_of(self.seed, int(state["step"]), f"rounding {number}").initial_seed()
        generator = torch.Generator(parameter.device).manual_seed(seed)
        parameter.copy_(rounded_stochastically(value, generator))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load moments as they were saved; torch's own would round them to the type of the weights."""
        super().load_state_dict(state_dict)
        own = [parameter for group in self.param_groups for parameter in group["params"]]
        numbers = [number for group in state_dict["param_groups"] for number in group["params"]]
        for parameter, number in zip(own, numbers, strict=True):
            for name, value in state_dict["state"].get(number, {}).items():
                device = value.device if name == "step" else parameter.device
                self.state[parameter][name] = value.to(device, torch.float32, copy=True)
