"""The end of a run: averaged weights become adapters and a stock model folder, with the record of their motion."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import init_empty_weights
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from videojam.data.encoded import EncodedData, read_latents
from videojam.models.folder import open_folder
from videojam.models.load import LoadedModel
from videojam.models.record import MotionRecord, save_record
from videojam.models.resolve import resolve
from videojam.objective.denoiser import Denoiser
from videojam.sampling.verify import VerifyReport
from videojam.training.base_weights import stored_type, thaw
from videojam.training.config import TrainConfig
from videojam.training.ema import averaged, put_average
from videojam.training.export import Destination, export_model
from videojam.training.lora import export_lora
from videojam.training.sharding import whole
from videojam.training.state import TrainState
from videojam.training.trainable import base_in_float32, mark_trainable
from videojam.training.votes import Votes


def motion_record(config: TrainConfig, base: LoadedModel, data: EncodedData) -> MotionRecord:
    """Record what sampling must know; the deviation of d is measured on the first 64 clips whose latents are kept."""
    stored = [clip for clip in data.clips if clip.entry is None]
    d = torch.cat([read_latents(clip, ("d",))["d"].float().flatten() for clip in stored[:64]])
    return record_after(config, base.record, config.num_steps, float(d.std()))


def record_after(
    config: TrainConfig, before: MotionRecord | None, num_steps: int, motion_std: float | None
) -> MotionRecord:
    """Return the record of a model after steps of a run.

    Args:
        config: The recipe.
        before: The base's record; None of a base that was not joint.
        num_steps: Steps done.
        motion_std: Deviation of the clean motion latents; None if it is not known.
    """
    return MotionRecord(
        motion=config.motion,
        text_dropout=config.objective.text_dropout,
        motion_dropout=config.objective.motion_dropout,
        num_train_steps=(before.num_train_steps if before else 0) + num_steps,
        base=before.base if before else config.base,
        revision=before.revision if before else None,
        output_init=before.output_init if before else config.output_init,
        motion_std=motion_std,
    )


def whole_transformer(config: TrainConfig, denoiser: Denoiser, state: TrainState, votes: Votes) -> Any:
    """Return the transformer with its averaged weights, on the first process; None on the others.

    One that FSDP2 cut is gathered tensor by tensor into the memory of the first process's host.

    Args:
        config: The recipe.
        denoiser: With the transformer that was trained.
        state: Its averaged weights.
        votes: Of the processes, which all take part.
    """
    transformer: Any = denoiser.transformer
    if not isinstance(next(iter(state.parameters.values())), DTensor):
        transformer.eval()
        put_average(state)
        return transformer if votes.rank == 0 else None
    tensors = {}
    with averaged(state):
        for name, tensor in transformer.state_dict().items():
            gathered = whole(tensor)
            if votes.rank == 0:
                tensors[name] = gathered.cpu()
    if votes.rank:
        return None
    stock = next(kind for kind in type(transformer).__mro__ if not issubclass(kind, FSDPModule))
    plain = stock.from_config(transformer.config)  # type: ignore[attr-defined]
    mark_trainable(plain, denoiser.family, config.lora, config.seed)
    names = {name.replace("._orig_mod", ""): tensor for name, tensor in tensors.items()}
    plain.load_state_dict(names, strict=True)
    return plain.eval()


def finish(
    config: TrainConfig, transformer: Any, component: str, projections: list[str], record: MotionRecord | None
) -> VerifyReport:
    """Export a transformer's weights and verify them; adapters are saved on their own, then fused.

    Args:
        config: The recipe.
        transformer: With the weights to save, adapters on it.
        component: Its name in the pipeline.
        projections: Names of the projections' parameters.
        record: Motion record; None for the control.
    """
    if config.lora is not None:
        parameters = dict(transformer.named_parameters())
        export_lora(transformer, {name: parameters[name] for name in projections}, config.out)
        if record is not None:
            save_record(record, config.out / "lora")  # for who has only the adapters and a base
        if stored_type(config) != "fp32":  # adapters are fused into the base as it is stored
            thaw(transformer, base_in_float32(config, open_folder(resolve(config.base)), component))
    merged = plain_copy(transformer, fuse=config.lora is not None)
    destination = Destination(config.base, config.out / "model", config.save_dtype, config.output_init)
    return export_model(destination, merged, component, record)


def plain_copy(transformer: Any, fuse: bool) -> Any:
    """Return a fresh stock instance that takes over the current weights in float32, adapters fused into them.

    On the host no weight is in memory twice; what was trained is empty afterwards.
    """
    if fuse:
        transformer.fuse_lora()
        transformer.unload_lora()
    with init_empty_weights():
        fresh = type(transformer).from_config(transformer.config)
    weights = {
        name.replace("._orig_mod", ""): _in_float32(tensor.detach().cpu())
        for name, tensor in transformer.state_dict().items()
    }
    fresh.load_state_dict(weights, strict=True, assign=True)
    transformer.to_empty(device="meta")
    return fresh.eval()


def _in_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor
