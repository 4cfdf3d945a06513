"""What of a pipeline is trained: the transformer, joint or plain, its parameters, its optimizers."""

from __future__ import annotations

from typing import Any, cast

import torch

from videojam.errors import VideoJamError
from videojam.families import Family
from videojam.joint.widen import widen_transformer
from videojam.models.load import LoadedModel
from videojam.training.config import LoraConfig, TrainConfig
from videojam.training.lora import add_adapters, check_targets
from videojam.training.optimizers import build_optimizers
from videojam.training.state import TrainState


def chosen_component(config: TrainConfig, model: LoadedModel) -> str:
    """Return the name of the transformer to train, having checked that the recipe and the base fit each other.

    Raises:
        VideoJamError: an expert has to be named, the control is asked of a joint model, or the adapters' layers
            don't exist.
    """
    transformers = model.family.transformers(model.pipeline)
    component = config.expert or next(iter(transformers))
    if component not in transformers or (len(transformers) > 1 and config.expert is None):
        raise VideoJamError(
            expected=f"expert: one of {', '.join(transformers)}",
            found=f"expert: {config.expert}",
            where=config.base,
            fix="Name the one to train; train the other in a second run whose base is the first one's result.",
        )
    if config.method == "plain" and model.is_joint:
        raise VideoJamError(
            expected="a base model for method: plain",
            found="a joint model",
            where=config.base,
            fix="Give the base that it was converted from.",
        )
    if config.lora is not None:
        check_targets(transformers[component], config.lora)
    return component


def trained_transformer(config: TrainConfig, model: LoadedModel, component: str) -> Any:
    """Return the transformer to train in float32, widened for VideoJAM where the base is not joint yet."""
    transformer = cast(torch.nn.Module, model.family.transformers(model.pipeline)[component])
    if config.method == "videojam" and not model.is_joint:
        transformer = widen_transformer(transformer, config.output_init)
    # to() also brings the float64 rotary tables to float32, which halves their cost on a CPU
    return transformer.to(torch.float32)


def mark_trainable(transformer: Any, family: Family, lora: LoraConfig | None, seed: int = 0) -> list[str]:
    """Mark what is trained: all, or adapters and both projections; return the projections' parameter names."""
    names = [name for name, _ in transformer.named_parameters() if family.is_of_projection(name)]
    if lora is None:
        transformer.requires_grad_(True)
        return names
    add_adapters(transformer, lora, seed)
    parameters = dict(transformer.named_parameters())
    for name in names:
        parameters[name].requires_grad_(True)
    return names


def set_up_steps(config: TrainConfig, transformer: Any) -> None:
    """Switch a transformer to training, with the recipe's checkpointing of activations and compilation."""
    transformer.train()
    if config.gradient_checkpointing:
        transformer.enable_gradient_checkpointing()
    if config.compile == "blocks":
        transformer.compile_repeated_blocks()
    elif config.compile == "whole":
        transformer.compile(dynamic=False)


def build_state(config: TrainConfig, transformer: Any) -> TrainState:
    """Return the state of a run before its first step."""
    parameters = {name: p for name, p in transformer.named_parameters() if p.requires_grad}
    ema = {name: p.detach().clone() for name, p in parameters.items()} if config.ema_decay else {}
    return TrainState(0, parameters, ema, build_optimizers(config.optimizer, parameters), {})
