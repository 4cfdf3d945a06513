"""`videojam data <verb>`: what a data set is, its latents, and what was cached."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from videojam.cli.common import MODEL_HELP, build, named_file, named_folder, named_path, say, start, stoppable
from videojam.cli.flags import grouped
from videojam.out_of_memory import memory_explained

if TYPE_CHECKING:
    from videojam.data.config import WorldSource
    from videojam.data.settings import ClipSettings, PrepareSettings
    from videojam.data.workers import WorkerConfig

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


@dataclass(frozen=True)
class ReadFlags:
    """How files are read."""

    layout: Annotated[
        str | None, typer.Option(metavar="NAME", help="Layout of the folder. (default: detected, and named)")
    ] = None
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Processes that read files. (default: one a core)")
    ] = None
    time_limit: Annotated[
        float, typer.Option(metavar="S", min=0.1, help="Longest time for one file, in s.")
    ] = 60.0
    world: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Of world:N, as seed=9 or pixel_px=4; repeat for more. (default: the world's own)",
        ),
    ] = None

    def config(self) -> WorkerConfig:
        """Return how many processes read, and for how long."""
        from videojam.data.workers import WorkerConfig

        num = _num_cores() if self.workers is None else self.workers
        return WorkerConfig(num_workers=num, time_limit_s=self.time_limit)


@dataclass(frozen=True)
class PrepareReadFlags(ReadFlags):
    """How files are read in whole, and which of them."""

    time_limit: Annotated[
        float, typer.Option(metavar="S", min=0.1, help="Longest time for one file, in s.")
    ] = 300.0
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", help="Make every N-th shard from I on. (default: torchrun's or Slurm's rank)"
        ),
    ] = None
    engine: Annotated[
        Literal["processes", "ray"],
        typer.Option(
            help="What reads clips: processes of this machine, or a Ray cluster, whose GPUs encode too."
        ),
    ] = "processes"


@dataclass(frozen=True)
class CutFlags:
    """Which stretches of a file become clips, and of which size."""

    bucket: Annotated[
        list[str] | None,
        typer.Option(
            "--bucket",
            metavar="FxHxW",
            help="Frames x height x width of prepared clips; repeat for more. "
            "(default: of `check` any, of `prepare` the base's)",
        ),
    ] = None
    fps: Annotated[
        float | None,
        typer.Option(metavar="N", help="Frames a second of prepared clips; with --bucket. (default: 16)"),
    ] = None
    cuts: Annotated[
        Literal["ignore", "first", "split"],
        typer.Option(help="Scene cuts: not looked for, only the first scene, or each scene a clip."),
    ] = "ignore"
    cut_rule: Annotated[
        Literal["histogram", "transnetv2"],
        typer.Option(help="How cuts are found: by colours, or by a network, dissolves too (videojam[cuts])."),
    ] = "histogram"
    windows: Annotated[
        Literal["first", "all"],
        typer.Option(help="Of a long scene: its start, or one clip after another."),
    ] = "first"


@dataclass(frozen=True)
class ClipFlags(CutFlags):
    """The same, and how clips are fitted and filtered."""

    fps: Annotated[float | None, typer.Option(metavar="N", help="Frames a second. (default: the base's)")] = (
        None
    )
    fit: Annotated[
        Literal["crop", "letterbox"], typer.Option(help="How a picture of another shape gets the size.")
    ] = "crop"
    min_motion: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Leave out clips of a lower mean speed, in diagonals a frame. (default: no limit)",
        ),
    ] = None
    max_motion: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Leave out clips of a higher mean speed, in diagonals a frame. (default: no limit)",
        ),
    ] = None

    def settings(self, base: str, source: Path | WorldSource) -> ClipSettings:
        """Return the settings, with the size and rate of the base or the world where none are given."""
        from videojam.data.request import clip_fields
        from videojam.data.settings import ClipSettings

        given = asdict(self)
        fields = clip_fields(base, given.pop("bucket") or [], given.pop("fps"), source)
        return build(ClipSettings, "the clips", **given, **fields)


@dataclass(frozen=True)
class EncodeFlags:
    """How clips are encoded and put into shards."""

    motion: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Motion code, as estimator=dis or scale=0.1; repeat for more. (default: the paper's)",
        ),
    ] = None
    raft_precision: Annotated[
        Literal["fp32", "half"], typer.Option(help="Of the estimator raft: half is faster on a GPU.")
    ] = "fp32"
    tile_above_px: Annotated[
        int, typer.Option(metavar="PX", min=1, help="Buckets of more pixels a frame are encoded in tiles.")
    ] = 2**20
    image_to_video: Annotated[
        bool,
        typer.Option(
            "--image-to-video",
            help="Keep the first frames' conditions too, for a base that does both (TI2V-5B, LTX-Video).",
        ),
    ] = False
    clips_per_shard: Annotated[int, typer.Option(metavar="N", min=1, help="Clips of a shard.")] = 256
    batch_clips: Annotated[int, typer.Option(metavar="N", min=1, help="Clips encoded together on a GPU.")] = 4
    max_sequence_length: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Text tokens. (default: the base's)")
    ] = None
    device: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="As cpu or cuda:1. (default: cuda if there is one)")
    ] = None

    def settings(self, clips: ClipSettings, source: Path | WorldSource) -> PrepareSettings:
        """Return all that decides the shards; the flow of the world's clips is exact."""
        from videojam.data.config import WorldSource
        from videojam.data.settings import PrepareSettings
        from videojam.keyvalue import apply_pairs
        from videojam.motion.code import MotionCode

        code: dict[str, object] = {"estimator": "exact"} if isinstance(source, WorldSource) else {}
        apply_pairs(code, self.motion or [], "--motion", read=lambda text, where: text)
        return PrepareSettings(
            clips=clips,
            motion=build(MotionCode, "the motion code", **code),
            raft_precision=self.raft_precision,
            tile_above_px=self.tile_above_px,
            max_sequence_length=self.max_sequence_length,
            image_to_video=self.image_to_video,
            clips_per_shard=self.clips_per_shard,
            batch_clips=self.batch_clips,
        )


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


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
    device: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="As cpu or cuda:1. (default: cuda if there is one)")
    ] = None,
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
