"""Inner-Guidance inside the base's own pipeline: a hook on its transformer's conditional pass.

Stock CFG computes u∅ + s·(u − u∅). What the hook returns for a pass, and the scale s given to the pipeline:

- `inner`: s = 1 + w1; the conditional pass returns u + w2/(1+w1)·(u − u₀), and CFG of it is Eq. 8.
- `ip2p`: s = 2; the unconditional pass returns 2u − ũ, and u' + 2·(u − u') of it is ũ, for any w1 and w2.
- `cfg`, `none`: s = 1 + w1 or 1; the passes are as they are.
- On a step that reuses what guidance added (`guidance.reuse`): both passes return ũ, and CFG of it is ũ for any
  s; the unconditional pass is not computed.

Where the pipeline runs both passes as one over the batch [unconditional, conditional], each half is treated so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.families import Family
from videojam.guidance.config import GuidanceConfig
from videojam.guidance.functions import ip2p, motion_guided
from videojam.guidance.reuse import DeltaReuse
from videojam.joint.latents import null_motion


@dataclass
class GuidanceTrace:
    """What happened in one sampling run.

    Attributes:
        times: The paper's t at which each step starts.
        motion_steps: Steps with a motion branch.
        num_forwards: Calls of the transformer, a batched branch counting once; 0 for a base (no hook).
        num_evaluations: Evaluations of the network for each clip, batched or not: the cost of guidance. Plain
            CFG has two a step; 0 for a base (no hook).
        std_d: Standard deviation of the noised motion latent at the start of each step.
        mixtures: (a, b) of x_σ = a·x + b·ε at the start of each step.
    """

    times: list[float] = field(default_factory=list)
    motion_steps: list[int] = field(default_factory=list)
    num_forwards: int = 0
    num_evaluations: int = 0
    std_d: list[float] = field(default_factory=list)
    mixtures: list[tuple[float, float]] = field(default_factory=list)

    def expected_std_d(self, motion_std: float = 1.0) -> list[float]:
        """Return sqrt((a·s)² + b²), what std(d_t) is for clean motion latents of deviation s."""
        return [((a * motion_std) ** 2 + b**2) ** 0.5 for a, b in self.mixtures[: len(self.std_d)]]


def pipeline_scale(config: GuidanceConfig) -> float:
    """Return the guidance scale to give to the stock pipeline under the hook."""
    if config.mode == "none":
        return 1.0
    return 2.0 if config.mode == "ip2p" else 1 + config.w_text


@contextmanager
def guided(pipe: Any, family: Family, config: GuidanceConfig) -> Iterator[GuidanceTrace]:
    """Put guidance into a stock pipeline of a joint model for the time of a `with` block.

    Args:
        pipe: Stock pipeline with joint transformers; call it with `guidance_scale=pipeline_scale(config)`.
        family: Its family.
        config: How to guide.

    Yields:
        A trace that the calls in the block fill.
    """
    state = _Hook(pipe, family, config)
    with ExitStack() as stack:
        for transformer in family.transformers(pipe).values():
            stack.enter_context(state.attached(transformer))
        yield state.trace


class _Hook:
    """State of one run: which pass of which step the transformer is in, and what it has predicted."""

    def __init__(self, pipe: Any, family: Family, config: GuidanceConfig) -> None:
        self.pipe, self.family, self.config = pipe, family, config
        self.trace = GuidanceTrace()
        self.active: set[int] = set()
        self.step = -1
        self.pass_name = ""
        self.context: dict[str, Any] = {}
        self.in_branch = False
        self.u: Tensor | None = None
        self.num_clips = 1
        self.reuse = DeltaReuse(config.reuse_every)
        self.fresh = True
        self.reused: Tensor | None = None
        self.stacked = family.batched_cfg and pipeline_scale(config) > 1
        """Whether a pass carries the batch [unconditional, conditional]."""

    @contextmanager
    def attached(self, transformer: Any) -> Iterator[None]:
        """Hook one transformer; torch's own hooks, so that offload, PEFT and caches keep their places."""
        if not hasattr(transformer, "cache_context"):
            raise VideoJamError(
                expected="a transformer whose pipeline names its passes (cache_context)",
                found=type(transformer).__name__,
                where="guidance hook",
                fix="Use a diffusers version whose pipeline does, 0.37 or newer.",
            )
        stock_context: Callable[..., AbstractContextManager[None]] = transformer.cache_context

        @contextmanager
        def named_context(name: str, **kwargs: Any) -> Iterator[None]:
            unconditional = not self.stacked and name == self.family.pass_names[1]
            self.pass_name, self.context = "uncond" if unconditional else "cond", kwargs
            with stock_context(name, **kwargs):
                yield

        transformer.cache_context = named_context
        handles = [
            transformer.register_forward_pre_hook(self.before, with_kwargs=True),
            transformer.register_forward_hook(self.after, with_kwargs=True),
        ]
        self.stock_context = {**getattr(self, "stock_context", {}), id(transformer): stock_context}
        try:
            with self._skipping(transformer):
                yield
        finally:
            for handle in handles:
                handle.remove()
            del transformer.cache_context

    @contextmanager
    def _skipping(self, transformer: Any) -> Iterator[None]:
        """Let passes whose result is known not be computed; torch's hooks can't do that."""
        if self.reuse.every == 1 or self.stacked:
            yield
            return
        own, stock_forward = vars(transformer).get("forward"), transformer.forward

        @wraps(stock_forward)
        def forward(*args: Any, **kwargs: Any) -> Any:
            return (self.reused,) if self._is_known() else stock_forward(*args, **kwargs)

        transformer.forward = forward
        try:
            yield
        finally:
            if own is None:
                del transformer.forward
            else:  # offload puts its own there
                transformer.forward = own

    def _is_known(self) -> bool:
        """Whether the pass at hand is the unconditional one of a step that reuses what guidance added."""
        return not self.fresh and not self.in_branch and self.pass_name == "uncond"

    def before(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Begin a pass: count steps, drop the motion if asked, add the branch's rows if they are batched."""
        if self.in_branch or self._is_known():
            return None
        self.trace.num_forwards += 1
        hidden = kwargs["hidden_states"]
        if self.pass_name == "cond":
            self._begin_step(module, self._rows(hidden, "cond"))
        if self.config.drop_motion:
            hidden = self._null(module, hidden)
        kwargs = {**kwargs, "hidden_states": hidden}
        if not self.fresh:
            kwargs = {name: self._rows(value, "cond") for name, value in kwargs.items()}
        if self.config.batched and self._needs_branch():
            branch = self._branch_inputs(module, kwargs)
            num_rows = len(hidden)
            kwargs = {name: _stack(value, branch[name], num_rows) for name, value in kwargs.items()}
        self.trace.num_evaluations += len(kwargs["hidden_states"]) // self.num_clips
        return args, kwargs

    def after(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        """End a pass: run the null-motion branch if it wasn't batched, and return the guided prediction."""
        if self.in_branch or self._is_known():
            return None
        u, null = output[0], None
        if not self.fresh:
            self.reused = self.reuse.guided(u, self.step in self.active)
            return (torch.cat([self.reused] * 2) if self.stacked else self.reused, *output[1:])
        if self._needs_branch():
            if self.config.batched:
                num_rows = len(u) // (3 if self.stacked else 2)
                u, null = u.split([len(u) - num_rows, num_rows])
            else:
                null = self._branch(module, kwargs)
        names = ("uncond", "cond") if self.stacked else (self.pass_name,)
        passes = {name: self._rows(u, name) for name in names}
        self.u = passes.get("cond", self.u)
        guided = {
            name: self._guided(module, name, u, null if name == self._guided_pass else None)
            for name, u in passes.items()
        }
        if self.reuse.every > 1:
            for name, u in passes.items():
                self._keep(name, u, guided[name])
        return (torch.cat(list(guided.values())), *output[1:])

    def _begin_step(self, module: Any, hidden: Tensor) -> None:
        self.step += 1
        if self.step == 0:
            self.trace.times = self.family.paper_times(self.pipe.scheduler).tolist()
            self.trace.mixtures = [self.family.mixture(1 - t) for t in self.trace.times]
            if self.config.uses_motion_branch:
                self.active = set(self.config.window.steps(self.trace.times))
        self.fresh = self.reuse.is_fresh(self.step, self.step in self.active, module)
        self.num_clips = len(hidden)
        if self.step in self.active:
            self.trace.motion_steps.append(self.step)
        num_channels = self._num_channels(module)
        d = hidden.narrow(self.family.channel_dim, num_channels, num_channels)
        d = d[d != 0]  # where the first frame is given, d is null there and not noise
        self.trace.std_d.append(d.float().std().item())

    @property
    def _guided_pass(self) -> str:
        """Which pass the null-motion branch belongs to."""
        return "uncond" if self.config.mode == "ip2p" else "cond"

    def _needs_branch(self) -> bool:
        in_step = self.fresh and self.step in self.active
        return in_step and (self.stacked or self.pass_name == self._guided_pass)

    def _rows(self, value: Any, name: str) -> Any:
        """Return one pass's share of a batched tensor; anything else as it is, such as one number for all rows."""
        if not (self.stacked and isinstance(value, Tensor) and value.ndim and len(value) > 1):
            return value
        return value.chunk(2)[name == "cond"]

    def _branch_inputs(self, module: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        inputs = {name: self._rows(value, self._guided_pass) for name, value in kwargs.items()}
        return {**inputs, "hidden_states": self._null(module, inputs["hidden_states"])}

    def _branch(self, module: Any, kwargs: dict[str, Any]) -> Tensor:
        """Run the pass once more with null motion, in a cache context of its own."""
        self.in_branch = True
        self.trace.num_forwards += 1
        self.trace.num_evaluations += 1
        try:
            with self.stock_context[id(module)]("motion", **self.context):
                return module(**self._branch_inputs(module, kwargs))[0]
        finally:
            self.in_branch = False

    def _guided(self, module: Any, name: str, u: Tensor, null: Tensor | None) -> Tensor:
        """Return what makes the pipeline's own CFG equal the guidance asked for."""
        config = self.config
        if config.mode == "ip2p" and name == "uncond":
            assert self.u is not None  # the conditional pass comes first
            text = ip2p(self.u, u, u, config.w_text, config.w_motion)  # the motion term cancels
            full = text if null is None else ip2p(self.u, u, null, config.w_text, config.w_motion)
            return 2 * self.u - self._on_halves(module, full, text)
        if null is None:
            return u
        return self._on_halves(module, motion_guided(u, null, config.w_text, config.w_motion), u)

    def _keep(self, name: str, u: Tensor, guided: Tensor) -> None:
        """Keep what guidance adds to u(x, d, y) in this step, of one pass's part.

        Args:
            name: The pass.
            u: Its prediction.
            guided: What it returns to the pipeline.
        """
        config = self.config
        if config.mode != "ip2p" and name == "cond":
            self.reuse.motion = pipeline_scale(config) * (guided - u)
            return
        if name == "cond":
            return
        assert self.u is not None  # the conditional pass comes first
        if config.mode == "ip2p":
            self.reuse.text = ip2p(self.u, u, u, config.w_text, config.w_motion) - self.u
            self.reuse.motion = self.u - guided - self.reuse.text
        else:
            self.reuse.text = config.w_text * (self.u - u)

    def _on_halves(self, module: Any, both: Tensor, text_only: Tensor) -> Tensor:
        """Keep motion guidance in both halves, or put text guidance alone into the motion half."""
        if self.config.motion_on == "both":
            return both
        dim, num_channels = self.family.channel_dim, self._num_channels(module)
        x = both.narrow(dim, 0, num_channels)
        d = text_only.narrow(dim, num_channels, num_channels)
        return torch.cat([x, d], dim=dim)

    def _null(self, module: Any, hidden: Tensor) -> Tensor:
        return null_motion(hidden, self._num_channels(module), self.family.channel_dim)

    def _num_channels(self, module: Any) -> int:
        return self.family.latent_channels(module.config) // 2


def _stack(value: Any, more: Any, num_rows: int) -> Any:
    """Add rows to a tensor with a batch of `num_rows`; anything else as it is."""
    is_batched = isinstance(value, Tensor) and value.ndim and len(value) == num_rows
    return torch.cat([value, more]) if is_batched else value
