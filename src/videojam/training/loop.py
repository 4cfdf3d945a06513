"""The training loop: steps, log lines, held-out losses and checkpoints, until the last step or a wish to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from videojam.errors import VideoJamError
from videojam.training.finite import refuse_bad_steps
from videojam.training.log import Line
from videojam.training.samples import Samples
from videojam.training.saving import Saver
from videojam.training.schedule import learning_rate
from videojam.training.state import TrainRun
from videojam.training.step import step
from videojam.training.stop import StopRequest
from videojam.training.validation import validate
from videojam.training.votes import explained

Ended = Literal["done", "asked", "time"]
"""Why the steps ended: all are done, somebody asked, or the time is over."""


def train_steps(
    run: TrainRun, on_line: Callable[[Line], None], stop: StopRequest, samples: Samples | None = None
) -> Ended:
    """Run from `state.step` to the recipe's last step, writing checkpoints, log lines, held-out losses and clips.

    Args:
        run: What is trained, on what and how.
        on_line: Called with every log line.
        stop: Where the wish to stop is seen; the step at hand is finished and saved first.
        samples: What samples validation clips; None samples none.

    Returns:
        Why the steps ended; what was done is saved.

    Raises:
        VideoJamError: a gradient is NaN, infinite or too large, and the recipe says to stop; a checkpoint can't be
            written; a clip can't be read; or another process ended. The last checkpoint is whole in each case.
    """
    config, state, votes = run.config, run.state, run.votes
    with (
        explained(votes.num, votes.timeout_s),
        Saver(config.out, votes, config.keep_checkpoints, config.model_dump(mode="json")) as saver,
    ):
        if state.step == 0:
            on_line(validate(run))
        if samples is not None and samples.is_missing(state.step) and not samples.sample(run, stop):
            return "asked"
        run.meter.begin()
        while state.step < config.num_steps:
            rate = learning_rate(config.optimizer, state.step, config.num_steps)
            _take_step(run, rate, saver)
            sampling = samples is not None and samples.is_due(state.step)
            clips_s = samples.longest_s if samples is not None and sampling else 0.0
            over = stop.is_time_over(run.meter.longest_step_s + saver.longest_s + clips_s)
            asked, over, has_failed = votes.any(stop.asked, over, saver.has_failed)
            if has_failed:
                saver.wait()
            last = state.step == config.num_steps
            saving = last or asked or over or state.step % config.checkpoint_every == 0
            validating = last or state.step % config.validate_every == 0
            logging = last or state.step % config.log_every == 0
            if saving or validating or logging:
                _read_window(run)
            if logging:
                on_line(_summary(run, rate))
            with run.meter.paused():
                if validating:
                    with _kept(run, saver):
                        on_line(validate(run))
                if saving:
                    saver.save(state)
                if samples is not None and sampling and not (asked or over):
                    with _kept(run, saver):
                        asked = not samples.sample(run, stop)
                    if asked and not saving:  # the run that goes on begins with the clips of this step
                        saver.save(state)
            if (asked or over) and not last:
                return "asked" if asked else "time"
    return "done"


def _take_step(run: TrainRun, rate: float, saver: Saver) -> None:
    with _kept(run, saver), run.meter.step():
        step(run, rate)


@contextmanager
def _kept(run: TrainRun, saver: Saver) -> Iterator[None]:
    """Where a clip can't be read, a run of one process saves the steps that are done before it stops."""
    num_steps = run.state.step
    try:
        yield
    except VideoJamError:
        if run.votes.num == 1 and num_steps not in (0, saver.last_step):
            _read_window(run)
            saver.save(run.state)
        raise


def _read_window(run: TrainRun) -> None:
    """Read the numbers of the steps from the device, count the clipped and the bad ones, and stop if need be."""
    new, counts, limit = run.state.window.fetch(), run.state.counts, run.config.optimizer.clip_norm
    for line in new:
        counts["steps"] = counts.get("steps", 0) + 1
        clipped = limit is not None and line["grad_norm"] > limit and not line["bad"]
        counts["clipped"] = counts.get("clipped", 0) + int(clipped)
        counts["bad"] = counts.get("bad", 0) + int(line["bad"])
        counts["bad_in_a_row"] = counts.get("bad_in_a_row", 0) + 1 if line["bad"] else 0
    refuse_bad_steps(run, [line for line in new if line["bad"]])


def _summary(run: TrainRun, rate: float) -> Line:
    """Write the log line of the steps since the last one: means of the losses, and how the steps went."""
    state, counts = run.state, run.state.counts
    return {
        "step": state.step,
        **state.window.summary(),
        "clipped_share": round(counts["clipped"] / counts["steps"], 4),
        "bad_steps": counts["bad"],
        "learning_rate": rate,
        **run.meter.lap(run.config.num_steps - state.step),
    }
