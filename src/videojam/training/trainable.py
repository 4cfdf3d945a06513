"""What of a pipeline is trained: the transformer, joint or plain, its parameters, its optimizers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.families import Family
from videojam.joint.widen import widened_tensor
from videojam.models.configs import empty_module
from videojam.models.folder import ModelFolder
from videojam.models.transformer import float_buffers_to, load_transformer
from videojam.training.base_weights import matrices_of, quantise, stored_type
from videojam.training.config import LoraConfig, TrainConfig
from videojam.training.lora import add_adapters, check_targets
from videojam.training.offload import offload_blocks
from videojam.training.optimizers import build_optimizers
from videojam.training.state import TrainState


def chosen_component(config: TrainConfig, folder: ModelFolder) -> str:
    """Return the name of the transformer to train, having checked that the recipe and the base fit each other.

    Raises:
        VideoJamError: an expert has to be named, the control is asked of a joint model, the adapters' layers don't
            exist, or the base is no pipeline.
    """
    component = chosen_expert(folder.transformers, config.expert, config.base)
    if config.method == "plain" and folder.is_joint():
        raise VideoJamError(
            expected="a base model for method: plain",
            found="a joint model",
            where=config.base,
            fix="Give the base that it was converted from.",
        )
    if config.lora is not None:
        stored = folder.transformers[component]
        check_targets(empty_module(stored.config), config.lora, stored.family)
    return component


def chosen_expert(transformers: Collection[str], asked: str | None, base: str) -> str:
    """Return the name of the transformer that is trained: the one there is, or of two the one that was asked for.

    Args:
        transformers: Names of the components.
        asked: As the recipe says.
        base: Pipeline, for the message.

    Raises:
        VideoJamError: no such component, or two and none asked for.
    """
    if asked in transformers or (asked is None and len(transformers) == 1):
        return asked or next(iter(transformers))
    raise VideoJamError(
        expected=f"expert: one of {', '.join(transformers)}",
        found=f"expert: {asked}",
        where=base,
        fix="Name the one to train; train the other in a second run whose base is the first one's result."
        if len(transformers) > 1
        else "Leave expert out.",
    )


def load_trained(config: TrainConfig, folder: ModelFolder, component: str) -> Any:
    """Load the transformer to train, widened for VideoJAM where the base is not joint yet; one copy of its weights.

    Args:
        config: The recipe, which decides the type of the weights.
        folder: The base.
        component: Name of the transformer.

    Raises:
        VideoJamError: a tensor is missing, or the class can't read d's own noise level.
    """
    stored = folder.transformers[component]
    family = stored.family.at_noise(config.motion.noise)
    widen = config.method == "videojam" and not folder.is_joint()
    joint = family.joint_config(stored.config) if widen else stored.config

    small = set(matrices_of(empty_module(joint), family)) if stored_type(config) != "fp32" else set()

    def change(name: str, tensor: Tensor) -> Tensor:
        if widen:
            tensor = widened_tensor(name, tensor, family, stored.config, config.output_init)
        if not tensor.is_floating_point():
            return tensor
        return tensor.to(torch.bfloat16 if name in small else torch.float32)

    transformer = load_transformer(stored, joint, change)
    float_buffers_to(transformer, torch.float32)
    return transformer


def base_in_float32(config: TrainConfig, folder: ModelFolder, component: str) -> dict[str, Tensor]:
    """Read the weights of the joint base again, in float32, by their names without adapters.

    Args:
        config: The recipe.
        folder: The base.
        component: Name of the transformer.
    """
    full = config.model_copy(update={"lora": None, "master_weights": "fp32"})
    return dict(load_trained(full, folder, component).state_dict())


def mark_trainable(transformer: Any, family: Family, lora: LoraConfig | None, seed: int = 0) -> list[str]:
    """Mark what is trained: all that a loss reaches, or adapters and both projections.

    Returns:
        The projections' parameter names.
    """
    names = [name for name, _ in transformer.named_parameters() if family.is_of_projection(name)]
    if lora is None:
        for name, parameter in transformer.named_parameters():
            parameter.requires_grad_(not family.is_frozen(name))
        return names
    add_adapters(transformer, lora, seed, family.frozen)
    parameters = dict(transformer.named_parameters())
    for name in names:
        parameters[name].requires_grad_(True)
    return names


def set_up_steps(config: TrainConfig, transformer: Any) -> None:
    """Switch a transformer to training: 8-bit base, checkpointing of activations, offload and compilation."""
    transformer.train()
    quantise(transformer, stored_type(config))
    if config.gradient_checkpointing:
        transformer.enable_gradient_checkpointing()
    if config.offload_blocks is not None:
        offload_blocks(transformer, config.offload_blocks)
    if config.compile == "blocks":
        transformer.compile_repeated_blocks()
    elif config.compile == "whole":
        transformer.compile(dynamic=False)


def build_state(config: TrainConfig, transformer: Any) -> TrainState:
    """Return the state of a run before its first step."""
    parameters = {name: p for name, p in transformer.named_parameters() if p.requires_grad}
    ema = {name: p.detach().float().clone() for name, p in parameters.items()} if config.ema_decay else {}
    return TrainState(0, parameters, ema, build_optimizers(config.optimizer, parameters, config.seed), {})
