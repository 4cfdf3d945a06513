"""`videojam train`: a joint model, or its control, by a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

train_app = typer.Typer()


def _print_fields(asked: bool) -> bool:
    if asked:
        from videojam.training.config import describe_fields

        typer.echo("\n".join(describe_fields()))
        raise typer.Exit
    return asked


@train_app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="YAML file; see recipes/.")],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Further keys, as after --set.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a key of the recipe, as optimizer.learning_rate=1e-5; repeat for more.",
        ),
    ] = None,
    fields: Annotated[
        bool,
        typer.Option("--fields", callback=_print_fields, is_eager=True, help="List every key of a recipe."),
    ] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the recipe with its defaults filled in, and stop.")
    ] = False,
) -> None:
    """Train a joint model, or its control, by a recipe.

    Every key of a recipe, its default and its meaning: videojam train --fields, and docs/training.md.
    An unknown or misspelt key is an error.
    """
    from videojam.training.config import load_recipe

    config = load_recipe(recipe, [*(overrides or []), *(more or [])])
    if print_config:
        import yaml

        typer.echo(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), nl=False)
        return
    from videojam.models.load import quiet_loading
    from videojam.training.progress import TrainProgress
    from videojam.training.run import train as train_recipe

    quiet_loading()
    with TrainProgress(config.num_steps) as progress:
        report = train_recipe(config, listen=progress)
    typer.echo(f"{report.model}: loaded again, the same seed gave the same latents ({report.stored}).")
