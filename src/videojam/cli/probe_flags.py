"""Flags in groups of `videojam probe`: what every probe has, which clips it reads, what becomes of its advice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from videojam.cli.common import named_file, seed_number
from videojam.cli.flags import SIZE, GuidanceFlags, SizeFlags, flag

READ = "How clips are read"


@dataclass(frozen=True)
class ProbeFlags:
    """Flags of every probe."""

    out: Annotated[
        Path | None,
        typer.Option(
            parser=named_file,
            metavar="FILE",
            help="JSON file. (default: out/probes/<probe>-<model>.json)",
        ),
    ] = None
    t: Annotated[
        str | None,
        typer.Option(
            metavar="T,T,…", help="Times, as 0.1,0.5,0.9: 0 is noise, 1 data. (default: the paper's)"
        ),
    ] = None
    seed: Annotated[
        int, typer.Option(parser=seed_number, metavar="N", help="Seed of noise and permutations.")
    ] = 0
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Clips measured together.")] = 4
    estimator: Annotated[
        Literal["raft", "dis"] | None,
        typer.Option(
            metavar="NAME", help="What measures flow: raft or dis. (default: the model's own choice)"
        ),
    ] = None
    plot: Annotated[bool, typer.Option("--plot/--no-plot", help="Draw a PNG beside the JSON file.")] = True


@dataclass(frozen=True)
class ReadFlags(SizeFlags):
    """Flags of the clips that a probe reads; None is the model's own."""

    fps: Annotated[
        float | None, flag("Rate that clips are resampled to. (default: the model's)", READ, metavar="FPS")
    ] = None
    skip: Annotated[
        bool, flag("Leave out and list clips that can't be used; exit code 1.", READ, "--skip")
    ] = False
    texture: Annotated[
        float | None,
        flag("Of world clips: deviation of their static texture. (default: 1)", READ, metavar="X"),
    ] = None
    world_seed: Annotated[
        int | None,
        flag("Seed of the first world clip. (default: 600000000)", READ, parser=seed_number, metavar="N"),
    ] = None


@dataclass(frozen=True)
class WriteFlags:
    """Flags of what becomes of a guidance probe's advice."""

    write_defaults: Annotated[
        bool,
        typer.Option(
            "--write-defaults", help="Write w1, w2 and the window into the model's folder, for generate."
        ),
    ] = False


@dataclass(frozen=True)
class ResampleFlags(GuidanceFlags):
    """Flags of the noising probe's sampling; None is the model's own."""

    steps: Annotated[
        int | None, flag("Steps of a whole run. (default: the model's)", SIZE, metavar="N", min=1)
    ] = None

    def content(self) -> dict[str, Any]:
        """Return keys and values of `SampleSettings`, without the steps, which are the probe's."""
        return {name: value for name, value in super().content().items() if name != "steps"}
