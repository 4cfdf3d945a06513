"""`videojam vbench <verb>`: the official package and its result files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from videojam.cli.common import named_folder, say, stoppable

if TYPE_CHECKING:
    from videojam.evaluation.vbench.official_results import OfficialResults

vbench_app = typer.Typer(help="The official VBench, and its result files.", no_args_is_help=True)


@vbench_app.command("prepare")
def vbench_prepare(
    env: Annotated[
        Path, typer.Argument(parser=named_folder, metavar="DIR", help="Folder of the environment to make.")
    ],
    python: Annotated[
        str | None,
        typer.Option(metavar="PYTHON", help="Interpreter, 3.9 to 3.11. (default: the newest on the PATH)"),
    ] = None,
    pip_arg: Annotated[
        list[str] | None,
        typer.Option(metavar="ARG", help="More for pip; repeat for several. (default: none)"),
    ] = None,
) -> None:
    """Make an environment of its own for the official package."""
    say(f"Installing the official VBench into {env}: gigabytes to download, several minutes")
    from videojam.evaluation.vbench.official import prepare

    with stoppable("The same command finishes the environment."):
        version = prepare(env, python, pip_arg or ())
    say(f"vbench {version} is ready in {env}")
    say(f"Next: videojam vbench official {env} CLIPS OUT")


@vbench_app.command("official")
def vbench_official(
    env: Annotated[Path, typer.Argument(metavar="ENV", help="Environment made by prepare.")],
    clips: Annotated[Path, typer.Argument(metavar="CLIPS", help="Folder of mp4 files.")],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", parser=named_folder, help="Folder for result, manifest and log.")
    ],
    dimension: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this one; repeat for several. (default: all six)"),
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="DEVICE", help="Device, as torch names it: cuda, cuda:1 or cpu.")
    ] = "cuda",
    local: Annotated[bool, typer.Option("--local", help="Only weights from VBench's cache.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print every clip as JSON.")] = False,
) -> None:
    """Score a folder's clips with the official package."""
    say(f"Looking for the clips of {clips}")
    from videojam.evaluation.vbench.aggregate import DIMENSIONS
    from videojam.evaluation.vbench.official import run_official
    from videojam.motion.clips import find_clips

    found = find_clips(clips, deep=False)
    say(
        f"Scoring {len(found)} clips with the official VBench on {device}; its own progress goes to {out}/official.log"
    )
    with stoppable("No result was written; the same command begins anew."):
        results = run_official(env, found, out, dimension or DIMENSIONS, device, local)
    typer.echo(_as_text(results, as_json))
    say(f"Wrote {out}/official_eval_results.json, its manifest and its log")


@vbench_app.command("read")
def vbench_read(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Files …_eval_results.json; several are merged.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print every clip as JSON.")] = False,
) -> None:
    """Read result files of the official package and compute Appearance and Motion."""
    say(f"results of {', '.join(map(str, files))}")
    from videojam.evaluation.vbench.official_results import read_official

    typer.echo(_as_text(read_official(*files), as_json))


def _as_text(results: OfficialResults, as_json: bool) -> str:
    if as_json:
        return json.dumps(dataclasses.asdict(results), indent=2)
    whole = results.aggregate
    lines = [
        f"{name:<23}{value:8.2%}  n = {whole.num_clips[name]}" for name, value in whole.dimensions.items()
    ]
    for name, value in (("Appearance", whole.appearance), ("Motion", whole.motion)):
        lines.append(f"{name:<23}{'dimensions are missing' if value is None else format(value, '8.2%')}")
    if results.ignored:
        lines.append(f"not in the paper, left out: {', '.join(results.ignored)}")
    return "\n".join(lines)
