"""`videojam world <verb>`: the procedural benchmark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from videojam.cli.common import build, named_folder, say, seed_number, stoppable

world_app = typer.Typer(help="The procedural benchmark: render clips, score coherence.", no_args_is_help=True)


@world_app.command("render")
def world_render(
    out: Annotated[
        Path,
        typer.Argument(
            parser=named_folder, metavar="DIR", help="Folder for mp4, caption (.txt) and exact flow."
        ),
    ],
    clips: Annotated[int, typer.Option(metavar="N", min=1, help="How many clips.")],
    seed: Annotated[
        int,
        typer.Option(
            parser=seed_number, metavar="N", help="Seed of the first clip; the next ones follow it."
        ),
    ] = 0,
    texture: Annotated[
        float, typer.Option(metavar="X", help="Standard deviation of the static texture; 1 is the models'.")
    ] = 1.0,
    kind: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="Kind of motion, as walker; repeat for several. (default: bounce)"),
    ] = None,
) -> None:
    """Render clips of the world: mp4, caption and exact flow."""
    say(f"Rendering {clips} clips of the world on the CPU")
    from videojam.cli.progress import ProgressDisplay
    from videojam.world.config import WorldConfig
    from videojam.world.folder import render_folder

    config = build(WorldConfig, "the world", texture=texture, kinds=tuple(kind or ("bounce",)))
    again = "Clips that are there are whole; the same command renders all of them again."
    with stoppable(again), ProgressDisplay("rendering", "clips") as progress:
        render_folder(
            out, num_clips=clips, seed=seed, config=config, on_clip=lambda i: progress(i + 1, clips)
        )
    say(f"Wrote {clips} clips to {out}")
    say(f"Next: videojam world score {out}")


@world_app.command("score")
def world_score(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of clips with captions (.txt).")],
    as_json: Annotated[bool, typer.Option("--json", help="Print every measure as JSON.")] = False,
) -> None:
    """Score the coherence of a folder's clips from only mp4, caption and the folder's world.json.

    A clip that can't be scored is listed with its reason, is in no rate, and makes the exit code 1.
    """
    say(f"Scoring the clips of {folder} on the CPU")
    from videojam.cli.progress import ProgressDisplay
    from videojam.world.folder import score_folder

    with (
        stoppable("Nothing is kept; the same command begins anew."),
        ProgressDisplay("scoring", "clips") as progress,
    ):
        report = score_folder(folder, on_clip=progress)
    typer.echo(json.dumps(report, indent=2) if as_json else _score_lines(report))
    for problem in report["problems"]:
        say(f"not scored: {problem['name']}: {problem['reason']}")
    say(f"Scored {report['num_scored']} of {report['num_clips']} clips of {folder}")
    raise typer.Exit(1 if report["problems"] else 0)


def _score_lines(report: dict[str, Any]) -> str:
    """Write one line a clip, one a kind, and the whole."""
    lines = [
        f"{clip['name']}  {clip['kind']:<9}  {'; '.join(clip['reasons']) or 'coherent'}"
        for clip in report["clips"]
    ]
    rates = {**report["kinds"], "all": report}
    for name, rate in rates.items():
        if rate["num_scored"]:
            shares = f"coherent {rate['coherent']:.1%}, as asked {rate['as_asked']:.1%}"
            lines.append(f"{name:<9}  {shares}, n = {rate['num_scored']}")
    return "\n".join(lines)
