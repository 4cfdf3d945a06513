"""`videojam data <verb>`: what a data set is, its latents, and what was cached."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from videojam.cli.common import MODEL_HELP, build, memory_explained, named_path, say, start, stoppable

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


@data_app.command("prepare")
def data_prepare(
    source: SourceArgument,
    out: Annotated[Path, typer.Argument(parser=named_path, metavar="OUT", help="Folder of the shards.")],
    base: Annotated[str, typer.Option(metavar="MODEL", help=f"Whose encoders are used. {MODEL_HELP}")],
    bucket: BucketOption = None,
    fps: Annotated[
        float | None, typer.Option(metavar="N", help="Frames a second. (default: the base's)")
    ] = None,
    fit: Annotated[
        Literal["crop", "letterbox"], typer.Option(help="How a picture of another shape gets the size.")
    ] = "crop",
    cuts: CutsOption = "ignore",
    windows: WindowsOption = "first",
    min_motion: Annotated[
        float | None,
        typer.Option(metavar="X", help="Leave out clips of less mean speed, in diagonals a frame."),
    ] = None,
    max_motion: Annotated[
        float | None,
        typer.Option(metavar="X", help="Leave out clips of more mean speed, in diagonals a frame."),
    ] = None,
    motion: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="Motion code, as estimator=dis or scale=0.1; repeat for more."
        ),
    ] = None,
    clips_per_shard: Annotated[int, typer.Option(metavar="N", min=1, help="Clips of a shard.")] = 256,
    batch_clips: Annotated[int, typer.Option(metavar="N", min=1, help="Clips encoded together.")] = 4,
    max_sequence_length: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Text tokens. (default: the base's)")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", help="Make every N-th shard from I on. (default: torchrun's or Slurm's rank)"
        ),
    ] = None,
    layout: LayoutOption = None,
    allow_unused: UnusedOption = 0.0,
    workers: WorkersOption = None,
    time_limit: LimitOption = 300.0,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, … (default: the GPU if there is one)")
    ] = None,
) -> None:
    """Turn clips into shards of appearance and motion latents and text, which `videojam train` reads.

    A run that was stopped goes on with the same command. Exits with 1 where more clips are unused than
    --allow-unused says.
    """
    device = start(f"prepare {source} with {base}", device)
    from videojam.cli.progress import ProgressDisplay
    from videojam.data.prepare.folder import prepare_folder
    from videojam.data.prepare.request import PrepareRequest
    from videojam.data.request import clip_fields, share_of
    from videojam.data.settings import ClipSettings, PrepareSettings
    from videojam.keyvalue import apply_pairs
    from videojam.models.load import quiet_loading
    from videojam.motion.code import MotionCode

    quiet_loading()
    code: dict[str, object] = {}
    apply_pairs(code, motion or [], read=lambda text, where: text)
    fields = clip_fields(base, bucket or [], fps)
    fields |= {
        "fit": fit,
        "cuts": cuts,
        "windows": windows,
        "min_motion": min_motion,
        "max_motion": max_motion,
    }
    settings = PrepareSettings(
        clips=build(ClipSettings, "the clips", **fields),
        motion=build(MotionCode, "the motion code", **code),
        max_sequence_length=max_sequence_length,
        clips_per_shard=clips_per_shard,
        batch_clips=batch_clips,
    )
    share = share_of(shard, os.environ)
    request = PrepareRequest(
        source, out, base, settings, share, device, _workers(workers, time_limit), layout
    )
    with (
        stoppable("Finished shards are kept; the same command goes on."),
        memory_explained(f"{batch_clips} clips together", "--batch-clips or the size of the buckets"),
        ProgressDisplay("preparing", "clips") as progress,
    ):
        report = prepare_folder(request, progress, say)
    for name, reason in report.left_out.items():
        say(f"unused: {name}: {reason}")
    say(f"{report.num_clips} clips in {report.num_shards} shards of {out}; {len(report.left_out)} unused")
    say(f"Next: videojam train RECIPE --set data.source.kind=prepared --set data.source.path={out}")
    typer.echo(out)
    raise typer.Exit(0 if report.num_clips and report.unused_share <= allow_unused else 1)
