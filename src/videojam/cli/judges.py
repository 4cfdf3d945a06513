"""`videojam judges <verb>`: clips for judges that run elsewhere, and their results."""

from __future__ import annotations

import dataclasses
import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from videojam.cli.common import say

judges_app = typer.Typer(
    help="Judges that run elsewhere: VMBench, VideoPhy, Physics-IQ, TRAJAN.", no_args_is_help=True
)


class ExternalJudge(StrEnum):
    """The judges that there are layouts for."""

    vmbench = "vmbench"
    videophy = "videophy"
    physics_iq = "physics-iq"
    trajan = "trajan"


@judges_app.command("export")
def judges_export(
    judge: Annotated[ExternalJudge, typer.Argument(help="Which judge.")],
    clips: Annotated[
        Path,
        typer.Argument(
            help="Folder of mp4 files, a .txt with the prompt beside each; or a bench, with --arm."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    table: Annotated[Path | None, typer.Option(help="CSV with file and prompt, instead of the .txt.")] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="VMBench: its prompts.json. Physics-IQ: its descriptions CSV.")
    ] = None,
    arm: Annotated[str | None, typer.Option(help="Arm of the bench.")] = None,
    run: Annotated[str, typer.Option(help="Physics-IQ: name of the run folder.")] = "model-op-run_01",
) -> None:
    """Write clips in the layout that a judge reads."""
    from videojam.errors import VideoJamError
    from videojam.evaluation.external import clips as external
    from videojam.evaluation.external import exports

    if arm is None:
        found = external.clips_of_folder(clips, table)
    else:
        from videojam.bench.folder import Bench
        from videojam.bench.score.external import clips_of_arm

        found = clips_of_arm(Bench.open(clips), arm)
    if judge in (ExternalJudge.vmbench, ExternalJudge.physics_iq) and prompts is None:
        raise VideoJamError(
            expected=f"the prompts of {judge.value}",
            found="none",
            where="--prompts",
            fix="Give prompts.json of VMBench, or the descriptions CSV of Physics-IQ.",
        )
    if judge is ExternalJudge.vmbench and prompts:
        record = exports.export_vmbench(found, out, prompts)
    elif judge is ExternalJudge.physics_iq and prompts:
        record = exports.export_physics_iq(found, out, prompts, run)
    elif judge is ExternalJudge.videophy:
        record = exports.export_videophy(found, out)
    else:
        record = exports.export_trajan(found, out)
    for name, why in record.unmatched.items():
        say(f"left out: {name}: {why}")
    say(f"Wrote {len(record.files)} of {len(found)} clips to {out}")
    raise typer.Exit(1 if record.unmatched else 0)


@judges_app.command("import")
def judges_import(
    export: Annotated[Path, typer.Argument(help="Folder that was exported.")],
    results: Annotated[list[Path], typer.Argument(help="What the judge wrote.")],
    bench: Annotated[Path | None, typer.Option(help="Bench to take them into, with --arm.")] = None,
    arm: Annotated[str | None, typer.Option(help="Arm of the bench that was exported.")] = None,
) -> None:
    """Read a judge's results; JSON by the names that the clips have here, or into a bench's report."""
    from videojam.errors import VideoJamError
    from videojam.evaluation.external.imports import import_results

    if (bench is None) != (arm is None):
        raise VideoJamError(
            expected="--bench and --arm together",
            found="one of them",
            where="options",
            fix="Give both or none.",
        )
    scores = import_results(export, *results)
    if bench is None or arm is None:
        typer.echo(json.dumps(dataclasses.asdict(scores), indent=2))
    else:
        from videojam.bench.folder import Bench
        from videojam.bench.score.external import take_scores

        take_scores(Bench.open(bench), arm, scores)
        say(f"{scores.judge}: {len(scores.clips)} clips of {arm}; now: videojam bench report --out {bench}")
    for name in scores.missing:
        say(f"no result: {name}")
    for name in scores.unknown:
        say(f"not exported: {name}")
    raise typer.Exit(1 if scores.missing or scores.unknown else 0)
