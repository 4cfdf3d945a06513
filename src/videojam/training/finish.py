"""The end of a run: averaged weights become adapters and a stock model folder, with the record of their motion."""

from __future__ import annotations

from typing import Any

import torch

from videojam.data.encode import EncodedData, read_latents
from videojam.models.load import LoadedModel
from videojam.models.record import MotionRecord
from videojam.sampling.verify import VerifyReport
from videojam.training.config import TrainConfig
from videojam.training.ema import averaged
from videojam.training.export import export_model
from videojam.training.lora import export_lora
from videojam.training.state import TrainState


def motion_record(config: TrainConfig, base: LoadedModel, data: EncodedData) -> MotionRecord:
    """Record what sampling must know; the deviation of d is measured on the first 64 clips."""
    d = torch.cat([read_latents(clip, ("d",))["d"].float().flatten() for clip in data.clips[:64]])
    before = base.record
    return MotionRecord(
        motion=config.motion,
        text_dropout=config.objective.text_dropout,
        motion_dropout=config.objective.motion_dropout,
        num_train_steps=(before.num_train_steps if before else 0) + config.num_steps,
        base=before.base if before else config.base,
        revision=before.revision if before else None,
        output_init=before.output_init if before else config.output_init,
        motion_std=float(d.std()),
    )


def finish(
    config: TrainConfig,
    transformer: Any,
    component: str,
    state: TrainState,
    projections: list[str],
    record: MotionRecord | None,
) -> VerifyReport:
    """Export the averaged weights and verify them; adapters are saved on their own, then fused."""
    transformer.eval()
    with averaged(state):
        if config.lora is not None:
            export_lora(transformer, {name: state.parameters[name] for name in projections}, config.out)
        merged = _plain_copy(transformer, fuse=config.lora is not None)
    return export_model(config, merged, component, record)


def _plain_copy(transformer: Any, fuse: bool) -> Any:
    """Return a fresh stock instance with the current weights, adapters fused into them."""
    if fuse:
        transformer.fuse_lora()
        transformer.unload_lora()
    fresh = type(transformer).from_config(transformer.config)
    weights = {
        name.replace("._orig_mod", ""): tensor.detach().cpu()
        for name, tensor in transformer.state_dict().items()
    }
    fresh.load_state_dict(weights, strict=True)
    return fresh.eval()
