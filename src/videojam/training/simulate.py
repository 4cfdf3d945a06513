"""A training step on tensors without data: the memory that it holds at its fullest, and its floating-point operations.

The real joint class runs forward and backward under torch's `FakeTensorMode`; every storage that lives is counted. The
blocks of a transformer are alike, so one and two of them are run, and the rest follows on a line.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import init_empty_weights
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry, shape_wrapper

from videojam.training.work import ON_CPU

aten: Any = torch.ops.aten
FLOPS: dict[Any, Callable[..., int]] = {
    **flop_registry,
    **{operation: shape_wrapper(count) for operation, count in ON_CPU.items()},
}
"""FLOPs of an operation, by its arguments and its result."""


@dataclass(frozen=True)
class StepCost:
    """What one forward and backward costs, weights and moments not counted.

    Attributes:
        saved: Bytes at the end of the forward: what the backward will read, and the loss.
        peak: Bytes at the fullest moment, gradients of the trained parameters included as they appear.
        gradients: Bytes of the gradients at the end.
        flops: Floating-point operations; a product and a sum are two.
    """

    saved: float
    peak: float
    gradients: float
    flops: float

    def plus(self, other: StepCost, times: int) -> StepCost:
        """Return this cost and a number of times that of another."""
        return StepCost(
            self.saved + times * other.saved,
            self.peak + times * other.peak,
            self.gradients + times * other.gradients,
            self.flops + times * other.flops,
        )

    def minus(self, other: StepCost) -> StepCost:
        """Return what this costs more than another."""
        return self.plus(other, -1)


class Tracker(TorchDispatchMode):
    """Counts bytes of living storages that operations made, and floating-point operations.

    A view of a weight shares its storage, which no operation made: what is held already is not counted again.

    Values that decide shapes are not there in tensors without data: a mask is taken as all true, its inverse as all
    false (HunyuanVideo 1.5 sorts its text by masks), and a question to a tensor is answered with yes.
    """

    def __init__(self, held: Iterable[Tensor]) -> None:
        super().__init__()
        self.now, self.peak, self.flops = 0, 0, 0.0
        self._sizes = {tensor.untyped_storage()._cdata: 0 for tensor in held}
        self._inverted: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is aten._local_scalar_dense.default and args[0].dtype == torch.bool:
            return True
        if func is aten.index.Tensor and len(args[1]) == 1 and args[1][0].dtype == torch.bool:
            x, mask = args[0], args[1][0]
            return x[:0].clone() if any(mask is inverse for inverse in self._inverted) else x.clone()
        if func is aten.nonzero.default:  # Mochi asks where its text mask is true: everywhere
            x = args[0]
            return torch.zeros(x.numel(), x.dim(), dtype=torch.long, device=x.device)
        out = func(*args, **(kwargs or {}))
        if func is aten.bitwise_not.default:
            self._inverted.add(out)
        count = FLOPS.get(func._overloadpacket)
        if count is not None:
            self.flops += count(*args, **(kwargs or {}), out_val=out)
        for tensor in tree_iter(out):
            if isinstance(tensor, Tensor):
                self._add(tensor)
        return out

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._sizes:
            return
        size = self._sizes[key] = storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, key)

    def _free(self, key: int) -> None:
        self.now -= self._sizes.pop(key, 0)


def autoencoder_without_data(pipe: Any, mode: FakeTensorMode) -> nn.Module:
    """Put an autoencoder of a pipeline's own config, whose weights hold no data, into the pipeline, and return it.

    Args:
        pipe: By its configs; a copy, as it is changed.
        mode: In which the autoencoder is called.
    """
    with init_empty_weights():
        pipe.vae = type(pipe.vae).from_config(pipe.vae.config).eval()
    without_data(pipe.vae, mode)
    vae: nn.Module = pipe.vae
    return vae


def without_data(module: nn.Module, mode: FakeTensorMode) -> None:
    """Turn the parameters of a module on `meta`, and its buffers, into tensors that claim to be on the CPU."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                fake = FakeTensor(mode, parameter.data, torch.device("cpu"))
                part._parameters[name] = nn.Parameter(fake, requires_grad=parameter.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = mode.from_tensor(buffer)


def cost_of_step(
    build: Callable[[Mapping[str, int]], nn.Module],
    lengths: Mapping[str, int],
    loss: Callable[[nn.Module], Tensor],
    *,
    backward: bool = True,
) -> StepCost:
    """Simulate a step of a transformer of any depth, or only its forward.

    Args:
        build: Gives the transformer on `meta`, ready to train, with so many blocks in each of its lists.
        lengths: Blocks of its lists, by their names.
        loss: Computes the loss of a batch, or a prediction; everything that it makes is without data.
        backward: Whether the backward pass is a part of it.
    """
    few = dict.fromkeys(lengths, 1)
    first = _simulated(build(few), loss, backward)
    total = first
    for name, length in lengths.items():
        if length > 1:
            one_more = _simulated(build(few | {name: 2}), loss, backward).minus(first)
            total = total.plus(one_more, length - 1)
    return total


def _simulated(transformer: nn.Module, loss: Callable[[nn.Module], Tensor], backward: bool) -> StepCost:
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    without_data(transformer, mode)
    with mode, Tracker(transformer.parameters()) as tracker:
        value = loss(transformer)
        saved = tracker.now
        if backward:
            value.backward()
        gradients = sum(
            p.grad.untyped_storage().nbytes() for p in transformer.parameters() if p.grad is not None
        )
    return StepCost(float(saved), float(tracker.peak), float(gradients), float(tracker.flops))
