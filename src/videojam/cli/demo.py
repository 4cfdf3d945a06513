"""`videojam demo`: base, control and VideoJAM on the same prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

demo_app = typer.Typer()


@demo_app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the page and the clips.")] = Path("out/demo"),
    clips_per_kind: Annotated[
        int, typer.Option(min=1, help="Prompts for each of the world's five kinds.")
    ] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Other prompts and other noise.")] = 0,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Sampling steps; the model's own by default.")
    ] = None,
    models: Annotated[
        Path | None,
        typer.Option(help="Folder with base/, control/ and videojam/ in place of the shipped ones."),
    ] = None,
) -> None:
    """Show base, control and VideoJAM on the same prompts and noise: a page to look at and a table."""
    from videojam.demo import print_result, run_demo

    result = run_demo(out, clips_per_kind=clips_per_kind, seed=seed, num_steps=steps, models=models)
    print_result(result)
