"""`videojam demo`: base, control and VideoJAM on the same prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from videojam.cli.bench import follow, show, where_it_stands
from videojam.cli.common import named_folder, say, seed_number, start, stoppable
from videojam.limits import MAX_SEEDS

demo_app = typer.Typer()


@demo_app.command()
def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for the page and the clips.", parser=named_folder, metavar="DIR")
    ] = Path("out/demo"),
    clips_per_kind: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=MAX_SEEDS, help="Clips of each caption of the world. (default: 13)"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(parser=seed_number, metavar="N", help="Other noise.")] = 0,
    steps: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Sampling steps. (default: the model's)")
    ] = None,
    models: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder with base/, control/ and videojam/. (default: the shipped models)"
        ),
    ] = None,
) -> None:
    """Show base, control and VideoJAM on the same prompts and noise: a page to look at and a table."""
    start("demo of base, control and VideoJAM", "cpu")
    import torch

    from videojam.bench.presets import DEMO_BATCH_SIZE, NUM_SHOWN, demo_plan
    from videojam.bench.run import run_bench
    from videojam.bench.work import Work
    from videojam.evaluation.judges import build_judges

    torch.set_num_threads(1)  # of models so small two threads take twice the CPU time, and no less of a wait
    plan = demo_plan(clips_per_kind, seed, steps, models)
    say(f"{len(plan.suite.prompts)} clips of each")
    work = Work(batch_size=DEMO_BATCH_SIZE)
    with stoppable(lambda: where_it_stands(out)):
        results = run_bench(out, plan, build_judges(["world"]), work, NUM_SHOWN, follow)
    assert results is not None
    show(out, results, "warn")
