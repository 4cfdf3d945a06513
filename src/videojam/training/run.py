"""A whole training run: base → joint, clips → latents, steps, trained folder, proof that it loads."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from videojam.data.config import PreparedSource, prepared_facts
from videojam.files import require_replaceable
from videojam.locks import locked
from videojam.models.record import FINGERPRINT_NAME, check_motion_code, load_record
from videojam.models.resolve import resolve
from videojam.motion.code import MotionCode
from videojam.sampling.verify import VerifyReport
from videojam.training.batches import split_heldout
from videojam.training.checkpoint import checkpoints
from videojam.training.config import TrainConfig
from videojam.training.facts import write_facts
from videojam.training.finish import finish, motion_record, whole_transformer
from videojam.training.log import Line, Log
from videojam.training.loop import train_steps
from videojam.training.processes import spread, start_processes
from videojam.training.recipe import load_recipe
from videojam.training.resume import check_resume, record_clips, resume, set_aside, set_aside_later
from videojam.training.samples import Samples
from videojam.training.sharding import local_like
from videojam.training.speed import Meter, matrix_rate
from videojam.training.start import Listener, Start, begin, clip_reader
from videojam.training.state import TrainRun, TrainState
from videojam.training.stop import StopRequest, TimeIsUp, usr1_stops
from videojam.training.trackers import open_trackers, require_trackers, track
from videojam.training.trainable import (
    build_state,
    mark_trainable,
    set_up_steps,
)
from videojam.training.votes import Votes


def train(
    recipe: str | Path | TrainConfig, overrides: list[str] | None = None, listen: Listener | None = None
) -> VerifyReport:
    """Train by a recipe, going on from the newest checkpoint in its out folder, and verify the result.

    Ctrl-C or SIGTERM while steps run saves a checkpoint before it stops the process.

    Args:
        recipe: YAML file, or a config.
        overrides: `key=value` for keys of the file.
        listen: Called with ("note", text), ("encode", (done, total)) and ("line", log line) as the run goes.

    Returns:
        What verifying `out/model` found.

    Raises:
        VideoJamError: anything that the user can correct; nothing that was saved before is lost.
    """
    began = time.monotonic()
    config = recipe if isinstance(recipe, TrainConfig) else load_recipe(recipe, overrides)
    config = with_motion_of_base(config)
    check_resume(config)
    require_replaceable(config.out / "model", FINGERPRINT_NAME)
    require_trackers(config)
    accelerator = start_processes(config)
    votes = Votes(config.parallel.timeout_s)
    say = listen if listen and accelerator.is_main_process else (lambda kind, content: None)
    with usr1_stops(), _owned(config.out, votes):
        for note in check_resume(config):  # again, as another run may have ended in between
            say("note", note)
        start = begin(config, accelerator.device, votes.first, say)
        return _train(config, accelerator, votes, start, say, StopRequest(config.max_minutes, began))


def with_motion_of_base(config: TrainConfig) -> TrainConfig:
    """Return the recipe with the motion code of a joint base's record; keys that the recipe gives must equal it.

    Raises:
        VideoJamError: the recipe gives another value; names the key.
    """
    source = config.data.source
    if isinstance(source, PreparedSource) and "motion" not in config.model_fields_set:
        config = config.model_copy(update={"motion": MotionCode(**prepared_facts(source.path)["motion"])})
    record = load_record(resolve(config.base))
    if record is None:
        return config
    check_motion_code(record, **config.motion.model_dump(include=config.motion.model_fields_set))
    return config.model_copy(update={"motion": record.motion})


@contextmanager
def _owned(out: Path, votes: Votes) -> Iterator[None]:
    """Hold the run's folder against other runs, and remove what a killed one left half-written."""
    with ExitStack() as stack:
        if votes.rank == 0:
            stack.enter_context(locked(out))
            for folder in (out, out / "checkpoints"):
                for unfinished in folder.glob(".*.tmp-*"):
                    shutil.rmtree(unfinished, ignore_errors=True)
        votes.wait()
        yield


def _train(
    config: TrainConfig,
    accelerator: Accelerator,
    votes: Votes,
    start: Start,
    say: Listener,
    stop: StopRequest,
) -> VerifyReport:
    """Run the steps from where the run's folder stands, and export what they gave."""
    data, transformer = start.data, start.denoiser.transformer
    clips, heldout = split_heldout(data.clips, config.data.num_heldout_of(len(data.clips)))
    if accelerator.is_main_process:
        record_clips(config.out, clips, heldout, resumed=bool(checkpoints(config.out)))
        write_facts(config, data, accelerator.num_processes, start.denoiser.family.frozen)
    say("note", f"{len(clips)} clips for training, {len(heldout)} held out, {len(data.left_out)} left out")

    projections = mark_trainable(transformer, start.denoiser.family, config.lora, config.seed)
    frozen = start.denoiser.family.frozen
    if frozen:
        say("note", f"frozen, as no loss reaches them: parameters with {', '.join(frozen)} in their names")
    set_up_steps(config, transformer)
    model = spread(config, accelerator, transformer)
    state = build_state(config, transformer)
    masks = {name: local_like(mask, state.parameters[name]) for name, mask in start.masks.items()}
    meter = _meter(config, accelerator, say)
    denoiser = replace(
        start.denoiser, transformer=model, null_text=_on(accelerator, start.denoiser.null_text)
    )
    run = TrainRun(config, accelerator, denoiser, state, masks, clips, heldout, votes, meter)
    samples = _samples(run, start)
    if samples is not None:
        samples.of_base(run, say)  # while the weights are the base's
    _go_on(config, votes, state, say)
    with stop, clip_reader(config, start.encoders) as read:
        run = replace(run, read=read)
        with closing(run.batches):
            ended = train_steps(run, _writer(run, samples, say), stop, samples)
    if ended == "time":
        raise TimeIsUp
    if state.step < config.num_steps:  # another process was stopped, so this one stops too
        raise KeyboardInterrupt

    plain = whole_transformer(config, start.denoiser, state, votes)
    state.release()
    if plain is None:
        return VerifyReport.model_validate_json(votes.from_first())
    say("note", f"writing {config.out / 'model'}, and loading it again to compare")
    record = motion_record(config, start.base, data) if denoiser.is_joint else None
    report = finish(config, plain, start.component, projections, record)
    votes.from_first(report.model_dump_json())
    return report


def _samples(run: TrainRun, start: Start) -> Samples | None:
    """Return what samples validation clips, where the recipe asks for them."""
    if start.plan is None:
        return None
    transformer, device = start.denoiser.transformer, run.accelerator.device
    return Samples(run.config, start.plan, start.base, start.component, transformer, device)


def _on(accelerator: Accelerator, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Put tensors on the device once, and not in each step."""
    return {name: tensor.to(accelerator.device) for name, tensor in tensors.items()}


def _meter(config: TrainConfig, accelerator: Accelerator, say: Listener) -> Meter:
    """Return what measures a run's speed, with the rate that its device reaches in the recipe's precision."""
    device, dtype = accelerator.device, torch.bfloat16 if config.precision == "bf16" else torch.float32
    rate = matrix_rate(device, dtype)
    words = f"{rate / 1e12:.3g} TFLOP/s, measured with a product of two matrices in {config.precision} here"
    say("note", f"MFU counts against {words}")
    return Meter(device, accelerator.num_processes, rate)


def _go_on(config: TrainConfig, votes: Votes, state: TrainState, say: Listener) -> None:
    """Put the newest whole checkpoint into the state, and say which one and what was passed over."""
    checkpoint, damaged = resume(state, config, votes)
    votes.wait()  # all have read before one renames
    if votes.rank == 0 and checkpoint is not None:
        for folder in damaged:
            say("note", f"{folder.name} is damaged, and kept as {set_aside(folder).name}")
        for folder in set_aside_later(config.out, checkpoint):
            say("note", f"a later checkpoint is kept as {folder.name}")
    if checkpoint is not None:
        said = checkpoint.name if checkpoint.parent == config.out / "checkpoints" else checkpoint
        say("note", f"resuming from {said}")


def _writer(run: TrainRun, samples: Samples | None, say: Listener) -> Callable[[Line], None]:
    """Return what takes each log line: the main process writes it and shows it, and validation clips are shown."""
    if not run.accelerator.is_main_process:
        return lambda line: None
    log = Log(run.config.out / "log.jsonl", run.state.step)
    if log.num_torn:
        say("note", f"{log.path}: {log.num_torn} unreadable lines were dropped")

    trackers = open_trackers(run.config, run.state.step)
    if samples is not None:
        samples.trackers = trackers

    def write(line: Line) -> None:
        log.write(line)
        track(trackers, line)
        say("line", line)

    return write
