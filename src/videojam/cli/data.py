"""`videojam data <verb>`: what a data set is, its latents, and what was cached."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from videojam.cli.common import build, named_path, say, stoppable

if TYPE_CHECKING:
    from videojam.data.workers import WorkerConfig

data_app = typer.Typer(
    help="Clips: check a data set, prepare its latents, look at them.", no_args_is_help=True
)

SourceArgument = Annotated[
    Path, typer.Argument(parser=named_path, metavar="SRC", help="Folder of clips, a table, or a tar.")
]
LayoutOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Layout of the folder. (default: detected, and named)")
]
WorkersOption = Annotated[
    int | None, typer.Option(metavar="N", min=0, help="Processes that read files. (default: one a core)")
]
LimitOption = Annotated[float, typer.Option(metavar="S", min=0.1, help="Longest time for one file, in s.")]
UnusedOption = Annotated[
    float,
    typer.Option(metavar="SHARE", min=0, max=1, help="Share of unused clips above which the exit code is 1."),
]
BucketOption = Annotated[
    list[str] | None,
    typer.Option(
        "--bucket", metavar="FxHxW", help="Frames x height x width of prepared clips; repeat for more."
    ),
]
CutsOption = Annotated[
    Literal["ignore", "first", "split"],
    typer.Option(help="Scene cuts: not looked for, only the first scene, or each scene a clip."),
]
WindowsOption = Annotated[
    Literal["first", "all"], typer.Option(help="Of a long scene: its start, or one clip after another.")
]


@data_app.command("check")
def data_check(
    source: SourceArgument,
    bucket: BucketOption = None,
    fps: Annotated[
        float | None, typer.Option(metavar="N", help="Frames a second of prepared clips; with --bucket.")
    ] = None,
    cuts: CutsOption = "ignore",
    windows: WindowsOption = "first",
    layout: LayoutOption = None,
    manifest: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write one line a usable clip (JSONL).")
    ] = None,
    allow_unused: UnusedOption = 0.0,
    workers: WorkersOption = None,
    time_limit: LimitOption = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")] = False,
) -> None:
    """Say what a data set is, which clips can be used, and why not the others.

    Headers, packets and the first frame of each file are read. Exits with 1 where more clips are unused
    than --allow-unused says.
    """
    say(f"Checking {source} on the CPU")
    from videojam.cli.progress import ProgressDisplay
    from videojam.data.check import check_facts, check_lines
    from videojam.data.manifest import make_manifest, write_manifest
    from videojam.data.settings import ClipSettings, parse_bucket

    settings = None
    if bucket:
        buckets = tuple(parse_bucket(text) for text in bucket)
        fields = {"buckets": buckets, "fps": fps or 16.0, "cuts": cuts, "windows": windows}
        settings = build(ClipSettings, "the clips", **fields)
    with (
        stoppable("Nothing is kept; the same command begins anew."),
        ProgressDisplay("checking", "files") as progress,
    ):
        found = make_manifest(
            source, settings, layout=layout, workers=_workers(workers, time_limit), progress=progress
        )
    facts = check_facts(found)
    typer.echo(json.dumps(facts, indent=2, ensure_ascii=False) if as_json else "\n".join(check_lines(facts)))
    if manifest is not None:
        say(f"Wrote {write_manifest(manifest, found.rows)}")
    say(f"{facts['num_used']} of {facts['num_used'] + facts['num_unused']} clips can be used")
    raise typer.Exit(0 if found.rows and found.unused_share <= allow_unused else 1)


def _workers(number: int | None, time_limit_s: float) -> WorkerConfig:
    from videojam.data.workers import WorkerConfig

    return WorkerConfig(num_workers=_num_cores() if number is None else number, time_limit_s=time_limit_s)


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
