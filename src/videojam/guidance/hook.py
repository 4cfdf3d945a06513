"""Guidance inside the base's own pipeline: a hook on its transformer.

Stock CFG computes u∅ + s·(u − u∅) of what its two passes return. A rule (`guidance.rules`) says what its pass returns
instead, so that this is the guided prediction. On a step that reuses what guidance added (`guidance.reuse`), both
passes return ũ, and CFG of it is ũ for any s; the unconditional pass is not computed. Where the pipeline runs both
passes as one over the batch [unconditional, conditional], each half is treated so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.families import Family
from videojam.families.stock import Pipeline, Transformer
from videojam.guidance.call import GuidedCall
from videojam.guidance.config import Guidance
from videojam.guidance.halves import Halves
from videojam.guidance.lead import leading, require_own_noise
from videojam.guidance.rules.rule import Pass
from videojam.guidance.trace import GuidanceTrace

Context = Callable[..., AbstractContextManager[None]]


def pipeline_scale(config: Guidance) -> float:
    """Return the guidance scale to give to the stock pipeline under the hook."""
    return config.rule.scale(config.weights)


@contextmanager
def guided(
    pipe: Pipeline,
    family: Family,
    config: Guidance,
    weaker: Mapping[str, Transformer] | None = None,
    is_joint: bool = True,
) -> Iterator[list[GuidanceTrace]]:
    """Put guidance into a stock pipeline for the time of a `with` block.

    Each call of the pipeline in the block is guided by itself, also one that follows an interrupted one. Another
    scale of the caller's (`guidance_scale`, `guidance_scale_2`) changes the strength of text guidance only: w2 stays
    what it is. CogVideoX's `use_dynamic_cfg` is not followed.

    Args:
        pipe: Stock pipeline; call it with `guidance_scale=pipeline_scale(config)`.
        family: Its family.
        config: How to guide.
        weaker: Transformers of the weaker model by component name, for `auto`.
        is_joint: Whether its transformers are joint; a base takes only rules without null motion.

    Yields:
        The traces of the pipeline's calls, one each, filled while they run.
    """
    require_own_noise(config.lead, family)
    hook = _Hook(pipe, family, config, is_joint)
    if config.rule.needs_weaker:
        hook.weaker = _beside(family.transformers(pipe), weaker)
    with ExitStack() as stack:
        stack.enter_context(leading(pipe, config.lead, family.channel_dim))
        for transformer in family.transformers(pipe).values():
            stack.enter_context(hook.attached(transformer))
        yield hook.traces


class _Hook:
    """Follows the passes of the pipeline's calls, runs the rule's branch, and returns what the rule says."""

    def __init__(self, pipe: Pipeline, family: Family, config: Guidance, is_joint: bool) -> None:
        self.pipe, self.family, self.config, self.is_joint = pipe, family, config, is_joint
        self.weaker: dict[int, Transformer] = {}
        self.traces: list[GuidanceTrace] = []
        self._call: GuidedCall | None = None
        self._pass: Pass | None = None
        self._context: dict[str, Any] = {}
        self._stock_contexts: dict[int, Context] = {}
        self._in_branch = False

    # --- on and off ---

    @contextmanager
    def attached(self, transformer: Transformer) -> Iterator[None]:
        """Hook one transformer; torch's own hooks, so that offload, PEFT and caches keep their places."""
        if not hasattr(transformer, "cache_context"):
            raise VideoJamError(
                expected="a transformer whose pipeline names its passes (cache_context)",
                found=type(transformer).__name__,
                where="the guidance hook",
                fix="Upgrade diffusers: every known base pipeline does, 0.41 or newer.",
            )
        stock = self._stock_contexts[id(transformer)] = transformer.cache_context

        @contextmanager
        def named_context(name: str, **kwargs: Any) -> Iterator[None]:
            self._pass = "uncond" if name == self.family.pass_names[1] else "cond"
            self._context = kwargs
            try:
                with stock(name, **kwargs):
                    yield
            finally:
                self._pass = None

        transformer.cache_context = named_context
        handles = [
            transformer.register_forward_pre_hook(self.before, with_kwargs=True),
            transformer.register_forward_hook(self.after, with_kwargs=True),
        ]
        try:
            with self._skipping(transformer):
                yield
        finally:
            for handle in handles:
                handle.remove()
            del transformer.cache_context

    @contextmanager
    def _skipping(self, transformer: Transformer) -> Iterator[None]:
        """Let passes whose result is known not be computed; torch's hooks can't do that."""
        if self.config.reuse_every == 1:
            yield
            return
        own, stock_forward = vars(transformer).get("forward"), transformer.forward

        @wraps(stock_forward)
        def forward(*args: Any, **kwargs: Any) -> Any:
            return (self._reused,) if self._is_known() else stock_forward(*args, **kwargs)

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
        call = self._call
        return call is not None and not call.reuse.fresh and not self._in_branch and self._pass == "uncond"

    # --- the two ends of a pass ---

    def before(self, module: Transformer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Begin a pass: count steps, drop the motion if asked, add the branch's rows if they are batched."""
        if self._in_branch or self._is_known():
            return None
        halves, hidden = self._halves_of(module), kwargs["hidden_states"]
        name, call = self._pass_at_hand(), self._call_of(module)
        if name == "cond":
            conditional = _rows(hidden, "cond", call.stacked)
            call.begin_step(
                module, scale_in_use(self.pipe, self.family, module, self.config), conditional, halves
            )
        if halves is not None:
            hidden = halves.input_at(hidden, call.motion_time)
            hidden = halves.null(hidden) if self.config.drop_motion else hidden
        kwargs = {**kwargs, "hidden_states": hidden}
        if not call.reuse.fresh:
            kwargs = {key: _rows(value, "cond", call.stacked) for key, value in kwargs.items()}
        if self.config.batched and call.needs_branch(name):
            branch = self._branch_inputs(call, halves, kwargs)
            kwargs = {key: _stack(value, branch[key], len(hidden)) for key, value in kwargs.items()}
        call.count(len(kwargs["hidden_states"]))
        return args, kwargs

    def after(self, module: Transformer, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        """End a pass: run the rule's branch if it wasn't batched, and return what the rule says."""
        if self._in_branch or self._is_known():
            return None
        call, name, u, branch = self._call, self._pass_at_hand(), output[0], None
        assert call is not None
        if not call.reuse.fresh:
            self._reused = call.reuse.guided(u)
            if not call.stacked:
                return (self._reused, *output[1:])
            # CFG of a − δ and a adds what it added to a in the last fresh step
            beside = [torch.cat([a - d, a]) for a, d in zip(output[1:], call.beside_added, strict=True)]
            return (torch.cat([self._reused] * 2), *beside)
        halves = self._halves_of(module)
        if call.needs_branch(name):
            if self.config.batched:
                num_rows = len(u) // (3 if call.stacked else 2)
                u, branch = u.split([len(u) - num_rows, num_rows])
                output = (u, *(more[: len(u)] for more in output[1:]))
            else:
                branch = self._run_branch(call, halves, module, kwargs)
        if not call.stacked:
            return (call.returned(name, u, branch, halves), *output[1:])
        call.beside_added = tuple(_rows(a, "cond", True) - _rows(a, "uncond", True) for a in output[1:])
        returned: dict[Pass, Tensor] = {}
        for part in ("cond", "uncond"):
            of_branch = branch if part == call.rule.acts_on else None
            returned[part] = call.returned(part, _rows(u, part, True), of_branch, halves)
        return (torch.cat([returned["uncond"], returned["cond"]]), *output[1:])

    def _halves_of(self, module: Transformer) -> Halves | None:
        return Halves.of(self.family, module) if self.is_joint else None

    def _call_of(self, module: Transformer) -> GuidedCall:
        """Return the state of the pipeline's call at hand; setting the timesteps is what begins one."""
        call = self._call
        if call is None or self.pipe.scheduler.timesteps is not call.timesteps:
            self.family.check_call(self.pipe)
            scale = scale_in_use(self.pipe, self.family, module, self.config)
            call = self._call = GuidedCall(self.pipe, self.family, self.config, scale)
            self.traces.append(call.trace)
        return call

    def _pass_at_hand(self) -> Pass:
        if self._pass is None:
            raise VideoJamError(
                expected="a pass that the pipeline names (cache_context)",
                found="a call of the transformer outside of any",
                where="the guidance hook",
                fix="Call the pipeline, not its transformer, or enter transformer.cache_context('cond').",
            )
        return self._pass

    # --- the rule's branch ---

    def _branch_inputs(
        self, call: GuidedCall, halves: Halves | None, kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        inputs = {key: _rows(value, call.rule.acts_on, call.stacked) for key, value in kwargs.items()}
        if call.rule.needs_weaker:
            return inputs
        assert halves is not None  # a base takes no rule with null motion
        return {**inputs, "hidden_states": halves.null(inputs["hidden_states"])}

    def _run_branch(
        self, call: GuidedCall, halves: Halves | None, module: Transformer, kwargs: dict[str, Any]
    ) -> Tensor:
        """Run the pass once more, with null motion in a cache context of its own, or by the weaker model."""
        inputs = self._branch_inputs(call, halves, kwargs)
        call.count(len(inputs["hidden_states"]))
        if call.rule.needs_weaker:
            weaker = self.weaker[id(module)]
            with weaker.cache_context("cond"):
                of_weaker: Tensor = weaker(**inputs)[0]
                return of_weaker
        self._in_branch = True
        try:
            with self._stock_contexts[id(module)]("motion", **self._context):
                prediction: Tensor = module(**inputs)[0]
                return prediction
        finally:
            self._in_branch = False


def _beside(
    transformers: Mapping[str, Transformer], weaker: Mapping[str, Transformer] | None
) -> dict[int, Transformer]:
    """Return the weaker transformer of each transformer, by the latter's id."""
    missing = [name for name in transformers if name not in (weaker or {})]
    if missing or weaker is None:
        raise VideoJamError(
            expected=f"a weaker model's {' and '.join(transformers)} for guidance auto",
            found=f"no {' and no '.join(missing)}",
            where="the guidance hook",
            fix="Give `weaker`, or choose another guidance rule.",
        )
    return {id(module): weaker[name] for name, module in transformers.items()}


def scale_in_use(pipe: Pipeline, family: Family, module: Transformer, config: Guidance) -> float:
    """Return the guidance scale with which a pipeline's call under way weighs a transformer's passes.

    Args:
        pipe: Stock pipeline, in a call.
        family: Its family.
        module: One of its transformers; A14B's second one may have a scale of its own.
        config: For a pipeline that doesn't keep its scale.
    """
    if not family.keeps_scale:
        return pipeline_scale(config)
    if getattr(pipe, "guider", None) is not None:
        scale = getattr(pipe.guider, "guidance_scale", None)
    elif module is getattr(pipe, "transformer_2", None):
        scale = getattr(pipe, "_guidance_scale_2", None)
    else:
        scale = getattr(pipe, "_guidance_scale", None)
    return pipeline_scale(config) if scale is None else float(scale)


def _rows(value: Any, name: Pass, stacked: bool) -> Any:
    """Return one pass's share of a batched tensor; anything else as it is, such as one number for all rows."""
    if not (stacked and isinstance(value, Tensor) and value.ndim and len(value) > 1):
        return value
    return value.chunk(2)[name == "cond"]


def _stack(value: Any, more: Any, num_rows: int) -> Any:
    """Add rows to a tensor with a batch of `num_rows`; anything else as it is."""
    is_batched = isinstance(value, Tensor) and value.ndim and len(value) == num_rows
    return torch.cat([value, more]) if is_batched else value
