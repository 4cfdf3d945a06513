"""`videojam data <verb>`: what a data set is, its latents, and what was cached."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from videojam.cli.common import (
    MODEL_HELP,
    Device,
    build,
    named_file,
    named_folder,
    named_path,
    say,
    start,
    stoppable,
)
from videojam.cli.data_flags import ClipFlags, CutFlags, EncodeFlags, PrepareReadFlags, ReadFlags
from videojam.cli.flags import grouped
from videojam.out_of_memory import memory_explained

data_app = typer.Typer(
    help="Clips: check a data set, prepare its latents, look at them.", no_args_is_help=True
)

SourceArgument = Annotated[
    Path,
    typer.Argument(
        parser=named_path,
        metavar="SRC",
        help="Folder of clips, a table, a tar, a data set's hub id, or world:N.",
    ),
]
UnusedOption = Annotated[
    float,
    typer.Option(metavar="SHARE", min=0, max=1, help="Share of unused clips above which the exit code is 1."),
]


@data_app.command("check")
@grouped
def data_check(
    source: SourceArgument,
    clips: CutFlags,
    reading: ReadFlags,
    manifest: Annotated[
        Path | None,
        typer.Option(
            parser=named_file,
            metavar="FILE",
            help="Write one line a usable clip (JSONL). (default: not written)",
        ),
    ] = None,
    allow_unused: UnusedOption = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")] = False,
) -> None:
    """Say what a data set is, which clips can be used, and why not the others.

    Headers, packets and the first frame of each file are read. Exits with 1 where more clips are unused
    than --allow-unused says.
    """
    say(f"Checking {source} on the CPU")
    from videojam.cli.progress import ProgressDisplay
    from videojam.data.check import check_facts, check_lines
    from videojam.data.config import WorldSource
    from videojam.data.layouts.world import source_of
    from videojam.data.manifest import make_manifest, write_manifest
    from videojam.data.settings import ClipSettings, parse_bucket

    asked = source_of(source, reading.world or [])
    own_fps = asked.fps if isinstance(asked, WorldSource) else 16.0
    settings = None
    if clips.bucket:
        buckets = tuple(parse_bucket(text) for text in clips.bucket)
        given = {key: value for key, value in asdict(clips).items() if key not in ("bucket", "fps")}
        fields = {"buckets": buckets, "fps": own_fps if clips.fps is None else clips.fps, **given}
        settings = build(ClipSettings, "the clips", **fields)
    with (
        stoppable("Nothing is kept; the same command begins anew."),
        ProgressDisplay("checking", "files") as progress,
    ):
        found = make_manifest(
            asked, settings, layout=reading.layout, workers=reading.config(), progress=progress
        )
    facts = check_facts(found)
    typer.echo(json.dumps(facts, indent=2, ensure_ascii=False) if as_json else "\n".join(check_lines(facts)))
    if manifest is not None:
        say(f"Wrote {write_manifest(manifest, found.rows)}")
    say(f"{facts['num_used']} of {facts['num_used'] + facts['num_unused']} clips can be used")
    raise typer.Exit(0 if found.rows and found.unused_share <= allow_unused else 1)


@data_app.command("prepare")
@grouped
def data_prepare(
    source: SourceArgument,
    out: Annotated[Path, typer.Argument(parser=named_folder, metavar="OUT", help="Folder of the shards.")],
    base: Annotated[str, typer.Option(metavar="MODEL", help=f"Whose encoders are used. {MODEL_HELP}")],
    clips: ClipFlags,
    encoding: EncodeFlags,
    reading: PrepareReadFlags,
    allow_unused: UnusedOption = 0.0,
) -> None:
    """Turn clips into shards of appearance and motion latents and text, which `videojam train` reads.

    A run that was stopped goes on with the same command. Exits with 1 where more clips are unused than
    --allow-unused says.
    """
    device = start(f"prepare {source} with {base}", encoding.device)
    from videojam.cli.progress import ProgressDisplay
    from videojam.data.check import unused_line
    from videojam.data.layouts.world import source_of
    from videojam.data.prepare.folder import prepare_folder
    from videojam.data.prepare.request import PrepareRequest
    from videojam.data.request import share_of
    from videojam.models.load import quiet_loading

    quiet_loading()
    asked = source_of(source, reading.world or [])
    settings = encoding.settings(clips.settings(base, asked), asked)
    share = share_of(reading.shard, os.environ)
    request = PrepareRequest(
        asked, out, base, settings, share, device, reading.config(), reading.layout, reading.engine
    )
    together = f"{settings.batch_clips} clips together"
    with (
        stoppable("Finished shards are kept; the same command goes on."),
        memory_explained(together, "Lower --batch-clips or the size of the buckets."),
        ProgressDisplay("preparing", "clips") as progress,
    ):
        report = prepare_folder(request, progress, say)
    for name, reason in report.left_out.items():
        say(unused_line(name, reason))
    shards = "1 shard" if report.num_shards == 1 else f"{report.num_shards} shards"
    say(f"{report.num_clips} clips in {shards} of {out}; {len(report.left_out)} unused")
    image = " --set image_to_video=true" if settings.image_to_video else ""
    say(f"Next: videojam train RECIPE --set data.source.kind=prepared --set data.source.path={out}{image}")
    typer.echo(out)
    raise typer.Exit(0 if report.num_clips and report.unused_share <= allow_unused else 1)


@data_app.command("look")
def data_look(
    folder: Annotated[
        Path, typer.Argument(parser=named_path, metavar="OUT", help="Folder that `data prepare` made.")
    ],
    num_clips: Annotated[int, typer.Option(metavar="N", min=1, help="Clips that are shown.")] = 12,
    page: Annotated[
        Path | None,
        typer.Option(parser=named_file, metavar="FILE", help="Page to write. (default: OUT/look.html)"),
    ] = None,
    source: Annotated[
        Path | None, typer.Option(metavar="SRC", help="Where the clips are now. (default: where they were)")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Whose autoencoder decodes. (default: that which prepared)"),
    ] = None,
    device: Device = None,
) -> None:
    """Write one page that shows frames, flow and decoded latents of prepared clips side by side."""
    device = start(f"look at {folder}", device)
    from videojam.bench.report.prepared import write_look
    from videojam.cli.progress import ProgressDisplay
    from videojam.data.look import LookRequest
    from videojam.models.load import quiet_loading

    quiet_loading()
    request = LookRequest(folder, num_clips, base, source, device)
    with stoppable("No page was written."), ProgressDisplay("decoding", "clips") as progress:
        typer.echo(write_look(request, page, progress))
