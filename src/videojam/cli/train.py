"""`videojam train`: a joint model, or its control, by a recipe."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from videojam.cli.common import say, start, stoppable
from videojam.cli.progress import duration
from videojam.out_of_memory import memory_explained

if TYPE_CHECKING:
    from videojam.sampling.verify import VerifyReport
    from videojam.training.config import TrainConfig

train_app = typer.Typer()


def _print_fields(asked: bool) -> bool:
    if asked:
        from videojam.training.fields import describe_fields

        typer.echo("\n".join(describe_fields()))
        raise typer.Exit
    return asked


@train_app.command()
def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="YAML file; see recipes/.")],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Further keys, as after --set.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a key of the recipe, as optimizer.learning_rate=1e-5; repeat for more. "
            "(default: as written)",
        ),
    ] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(
            "--max-minutes",
            metavar="MINUTES",
            help="Save and exit with code 75 before the process has run so long; SIGUSR1 does so at once. "
            "(default: no limit)",
        ),
    ] = None,
    fields: Annotated[
        bool,
        typer.Option("--fields", callback=_print_fields, is_eager=True, help="List every key of a recipe."),
    ] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the recipe with its defaults filled in, and stop.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Check the recipe, estimate memory and time from config files, and stop."
        ),
    ] = False,
    tflops: Annotated[
        float | None,
        typer.Option(
            "--tflops",
            metavar="X",
            min=1e-3,
            max=1e6,
            help="Of --dry-run: rate of the device in TFLOP/s. (default: measured here)",
        ),
    ] = None,
) -> None:
    """Train a joint model, or its control, by a recipe.

    Every key of a recipe, its default and its meaning: videojam train --fields, and docs/training.md.
    An unknown or misspelt key is an error.
    """
    if tflops is not None and not dry_run:
        raise typer.BadParameter("it is of --dry-run, and nothing else reads it.", param_hint="--tflops")
    say(f"train: reading {recipe}")
    from videojam.training.recipe import load_recipe

    limit = [] if max_minutes is None else [f"max_minutes={max_minutes}"]
    config = load_recipe(recipe, [*(overrides or []), *(more or []), *limit])
    if print_config:
        import yaml

        typer.echo(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), nl=False)
        return
    from videojam.models.load import quiet_loading

    quiet_loading()
    if dry_run:
        from videojam.training import dry_run as estimated

        say("counting on tensors without data; a large base takes minutes on a CPU")
        typer.echo("\n".join(estimated.dry_run_lines(config, estimated.dry_run(config, tflops))))
        return
    started = time.monotonic()
    start(f"train {config.base}", None, config.precision)
    source = config.data.source
    asked = f"{config.batch_size // config.accumulation or 1} clips of {source.num_frames} frames of "
    fix = (
        "Lower data.source.num_frames, height or width; set accumulation to batch_size, "
        "gradient_checkpointing: true, or lora; `videojam inspect` counts the memory of the weights."
    )
    with (
        stoppable(lambda: _how_to_go_on(config)),
        memory_explained(f"training on {asked}{source.height}×{source.width} px together", fix),
    ):
        report = _run(config)
    if os.environ.get("RANK", "0") != "0":  # of several processes, the first one reports
        return
    took = f"{duration(time.monotonic() - started)}, peak memory {_peak_memory()}"
    say(f"{report.model}: loaded again, the same seed gave the same latents ({report.stored}). {took}")
    model, clips = shlex.quote(str(report.model)), shlex.quote(str(config.out / "clips"))
    say(f'Next: videojam generate {model} "A PROMPT" --out {clips}')
    typer.echo(report.model)


def _run(config: TrainConfig) -> VerifyReport:
    from videojam.cli.train_progress import TrainProgress
    from videojam.training.run import train as train_recipe

    with TrainProgress(config.num_steps) as progress:
        return train_recipe(config, listen=progress)


def _how_to_go_on(config: TrainConfig) -> str:
    """Say which checkpoint a stopped run goes on from."""
    from videojam.training.checkpoint import checkpoints

    newest = next(iter(checkpoints(config.out)), None)
    where = (
        f"saved in {newest}" if newest else "no step is saved yet; clips that were encoded are in the cache"
    )
    return f"{where[0].upper()}{where[1:]}. The same command goes on from there."


def _peak_memory() -> str:
    """Write the most memory that the process held, of the GPU if one was used, and of the machine."""
    import resource

    import torch

    unit = 1 if sys.platform == "darwin" else 1024
    peaks = [f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30:.1f} GiB"]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        peaks.insert(0, f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB on the GPU,")
    return " ".join(peaks)
