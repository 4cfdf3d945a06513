"""A whole training run: base → joint, clips → latents, steps, trained folder, proof that it loads."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from videojam import __version__
from videojam.data.encode import EncodedData, prepare, read_encoded
from videojam.errors import VideoJamError
from videojam.files import renamed, require_replaceable
from videojam.joint.widen import widen_transformer
from videojam.models.load import LoadedModel, load_model, with_image
from videojam.models.record import FINGERPRINT_NAME, MotionRecord, check_motion_code
from videojam.motion.estimators import build_estimator
from videojam.objective.denoiser import Denoiser
from videojam.sampling.verify import VerifyReport, verify
from videojam.training.batches import split_heldout
from videojam.training.checkpoint import (
    TrainState,
    check_same_config,
    latest_checkpoint,
    load_checkpoint,
    read_state,
)
from videojam.training.config import LoraConfig, TrainConfig, load_recipe
from videojam.training.export import export_lora, export_model
from videojam.training.loop import Line, Log, averaged, train_steps
from videojam.training.new_rate import new_entries
from videojam.training.optimizers import build_optimizers
from videojam.training.processes import check_processes, replicated

MAY_CHANGE_ON_RESUME = (
    "num_steps", "log_every", "checkpoint_every", "keep_checkpoints", "validate_every", "save_dtype", "compile",
)  # fmt: skip

Listener = Callable[[str, Any], None]


def train(
    recipe: str | Path | TrainConfig, overrides: list[str] | None = None, listen: Listener | None = None
) -> VerifyReport:
    """Train by a recipe, going on from the newest checkpoint in its out folder, and verify the result.

    Args:
        recipe: YAML file, or a config.
        overrides: `key=value` for keys of the file.
        listen: Called with ("note", text), ("encode", (done, total)) and ("line", log line) as the run goes.

    Returns:
        What verifying `out/model` found.

    Raises:
        VideoJamError: anything that the user can mend; nothing that was saved before is lost.
    """
    config = recipe if isinstance(recipe, TrainConfig) else load_recipe(recipe, overrides)
    _check_resume(config)
    require_replaceable(config.out / "model", FINGERPRINT_NAME)
    accelerator = Accelerator()
    check_processes(config, accelerator.num_processes, accelerator.distributed_type)
    say = listen if listen and accelerator.is_main_process else (lambda kind, content: None)
    model = load_model(config.base, torch_dtype=torch.float32, device=accelerator.device)
    if config.image_to_video:
        model = with_image(model)
    code = _motion_code(config, model)
    with accelerator.main_process_first():  # the others find the clips in the cache
        data = _prepare(config, model, say)
    clips, heldout = split_heldout(data.clips, config.data.num_heldout_of(len(data.clips)))
    if accelerator.is_main_process:
        _start_folder(config, data, accelerator.num_processes)
    say("note", f"{len(clips)} clips for training, {len(heldout)} held out, {len(data.left_out)} left out")

    component, transformer, is_joint = _trained_transformer(config, model)
    masks = new_entries(transformer, model.family) if is_joint else {}
    sigma_range = model.family.sigma_range(model.pipeline, component)
    denoiser = Denoiser(transformer, model.family, is_joint, data.null_text, sigma_range)
    source = replace(model, pipeline=None)  # the encoders are not needed any more: free them
    del model
    projections = _trainable(transformer, denoiser, config.lora)

    transformer.train()
    if config.gradient_checkpointing:
        transformer.enable_gradient_checkpointing()
    if config.compile == "blocks":
        transformer.compile_repeated_blocks()
    elif config.compile == "whole":
        transformer.compile(dynamic=False)
    state = _build_state(config, transformer)
    latest = latest_checkpoint(config.out)
    if latest is not None:
        load_checkpoint(state, latest)
        say("note", f"resuming from {latest.name}")
    prepared = replicated(accelerator, transformer)
    log = Log(config.out / "log.jsonl", state.step) if accelerator.is_main_process else None

    def on_line(line: Line) -> None:
        if log is not None:
            log.write(line)
            say("line", line)

    train_steps(
        config, replace(denoiser, transformer=prepared), accelerator, state, masks, clips, heldout, on_line
    )
    report = None
    if accelerator.is_main_process:
        record = _record(config, source, code, data) if is_joint else None
        report = _finish(config, transformer, component, state, projections, record)
    accelerator.wait_for_everyone()
    return report or verify(config.out / "model")


def _check_resume(config: TrainConfig) -> None:
    latest = latest_checkpoint(config.out)
    if latest is not None:
        asked = config.model_dump(mode="json")
        check_same_config(read_state(latest)["config"], asked, MAY_CHANGE_ON_RESUME, str(latest))


def _motion_code(config: TrainConfig, model: LoadedModel) -> Any:
    if model.record is not None:
        check_motion_code(model.record, **config.motion.model_dump())
    return config.motion


def _prepare(config: TrainConfig, model: LoadedModel, say: Listener) -> EncodedData:
    """Encode the clips; the flow estimator is built only where the source has no exact flow."""
    estimator = None
    if config.motion.estimator == "raft":
        estimator = build_estimator("raft", weights=config.raft_weights, device=model.pipeline.vae.device)
    data = prepare(
        model, config.data, config.motion, estimator=estimator,
        progress=lambda done, total: say("encode", (done, total)),
    )  # fmt: skip
    for note in data.notes:
        say("note", note)
    for name, reason in data.left_out.items():
        say("note", f"left out {name}: {reason}")
    return data


def _trained_transformer(config: TrainConfig, model: LoadedModel) -> tuple[str, Any, bool]:
    """Return (component name, transformer to train in float32, whether it is joint)."""
    transformers = model.family.transformers(model.pipeline)
    component = config.expert or next(iter(transformers))
    if component not in transformers or (len(transformers) > 1 and config.expert is None):
        raise VideoJamError(
            expected=f"expert: one of {', '.join(transformers)}",
            found=f"expert: {config.expert}",
            where=config.base,
            fix="Name the one to train; train the other in a second run whose base is the first one's result.",
        )
    transformer = transformers[component]
    if config.method == "plain" and model.is_joint:
        raise VideoJamError(
            expected="a base model for method: plain",
            found="a joint model",
            where=config.base,
            fix="Give the base that it was converted from.",
        )
    if config.method == "videojam" and not model.is_joint:
        transformer = widen_transformer(transformer, config.output_init)
    # to() also brings the float64 rotary tables to float32, which halves their cost on a CPU
    return component, transformer.to(torch.float32), config.method == "videojam"


def _trainable(transformer: Any, denoiser: Denoiser, lora: LoraConfig | None) -> list[str]:
    """Mark what is trained; return the names of the projections' parameters."""
    family = denoiser.family
    prefixes = (f"{family.input_projection}.", f"{family.output_projection}.")
    names = [name for name, _ in transformer.named_parameters() if name.startswith(prefixes)]
    if lora is not None:
        from peft import LoraConfig as PeftConfig

        transformer.requires_grad_(False)
        transformer.add_adapter(
            PeftConfig(
                r=lora.rank, lora_alpha=lora.alpha or lora.rank, target_modules=list(lora.target_modules)
            )
        )
        parameters = dict(transformer.named_parameters())
        for name in names:
            parameters[name].requires_grad_(True)
    else:
        transformer.requires_grad_(True)
    return names


def _build_state(config: TrainConfig, transformer: Any) -> TrainState:
    parameters = {name: p for name, p in transformer.named_parameters() if p.requires_grad}
    ema = {name: p.detach().clone() for name, p in parameters.items()} if config.ema_decay else {}
    return TrainState(0, parameters, ema, build_optimizers(config.optimizer, parameters), {})


def _record(config: TrainConfig, model: LoadedModel, code: Any, data: EncodedData) -> MotionRecord:
    """Record what sampling must know; the deviation of d is measured on the training clips."""
    d = torch.stack([read_encoded(clip.path, ("d",))["d"].float() for clip in data.clips[:64]])
    before = model.record.num_train_steps if model.record else 0
    return MotionRecord(
        motion=code,
        text_dropout=config.objective.text_dropout,
        motion_dropout=config.objective.motion_dropout,
        num_train_steps=before + config.num_steps,
        base=model.record.base if model.record else config.base,
        output_init=config.output_init,
        motion_std=float(d.std()),
    )


def _finish(
    config: TrainConfig,
    transformer: Any,
    component: str,
    state: TrainState,
    projections: list[str],
    record: MotionRecord | None,
) -> VerifyReport:
    """Export the averaged weights; adapters are saved apart, then fused."""
    transformer.eval()
    with averaged(state):
        if config.lora is not None:
            tensors: dict[str, Tensor] = {name: state.parameters[name] for name in projections}
            export_lora(transformer, tensors, config.out)
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


def _start_folder(config: TrainConfig, data: EncodedData, num_processes: int) -> None:
    """Write the run's resolved recipe, versions, revision and left-out clips beside its results."""
    facts = {
        "videojam": __version__,
        "versions": {
            name: version(name) for name in ("torch", "diffusers", "transformers", "accelerate", "peft")
        },
        "python": platform.python_version(),
        "git_revision": _git_revision(),
        "num_processes": num_processes,
        "config": config.model_dump(mode="json"),
        "left_out": data.left_out,
    }
    try:
        config.out.mkdir(parents=True, exist_ok=True)
        with renamed(config.out / "run.json") as unfinished:
            unfinished.write_text(json.dumps(facts, indent=2) + "\n")
    except OSError as error:
        raise VideoJamError(
            expected="a folder to write to",
            found=error.strerror or str(error),
            where=f"out: {config.out}",
            fix="Choose another folder, or mend its permissions.",
        ) from error


def _git_revision() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip() or None
