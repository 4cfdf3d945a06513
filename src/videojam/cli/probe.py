"""`videojam probe <verb>`: the paper's diagnostics, Fig. 3 and Fig. 8, and whether guidance points towards the data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from videojam.cli.common import (
    MODEL_HELP,
    build,
    named_file,
    named_folder,
    say,
    start,
    stoppable,
)
from videojam.cli.flags import LoadFlags, grouped
from videojam.cli.probe_flags import ProbeFlags, ReadFlags, ResampleFlags, WriteFlags
from videojam.errors import VideoJamError
from videojam.out_of_memory import memory_explained

if TYPE_CHECKING:
    from videojam.cli.progress import ProgressDisplay
    from videojam.data.config import FolderSource, WorldSource
    from videojam.models.load import LoadedModel

probe_app = typer.Typer(
    help="Diagnostics: is the order of frames noticed (Fig. 3), when is motion fixed (Fig. 8), does guidance help.",
    no_args_is_help=True,
)

PLOT_SUFFIX = ".png"
GO_ON = "Clips that were measured are kept; the same command goes on."
LOWER = "Lower --batch-size, --frames, --height or --width."

Model = Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)]
Data = Annotated[
    str, typer.Argument(metavar="DATA", help="Folder of videos with captions (.txt), or world:N.")
]
Clips = Annotated[
    Path | None,
    typer.Option(
        parser=named_folder, metavar="DIR", help="Write the clips there, for looking. (default: nowhere)"
    ),
]


@probe_app.command("permutation")
@grouped
def probe_permutation(model: Model, data: Data, probe: ProbeFlags, read: ReadFlags, load: LoadFlags) -> None:
    """Loss of clips, and of the same clips with their frames permuted, against t (Fig. 3).

    Goes on from an unfinished run. Prints the gap with its interval and the file's path.
    """
    device = start(f"Permutation probe of {model} on {data}", load.device, load.dtype)
    from videojam.evaluation.probes.forward import ForwardConfig
    from videojam.evaluation.probes.permutation import permutation_probe

    config = build(ForwardConfig, "the probe", **_config(probe))
    path = _out(probe, "permutation", model)
    with _running(probe) as progress:
        loaded = load.load(model, device)
        result = permutation_probe(loaded, _source(loaded, data, read), path, config, progress=progress)
    for line in result["summary"]:
        losses = f"ordered {line['ordered']:.4f}  permuted {line['permuted']:.4f}"
        typer.echo(f"{line['loss']:<22}  t {line['t']:.2f}  {losses}  gap {_interval(line['gap'])}")
    _finish(path, result, probe.plot)


@probe_app.command("noising")
@grouped
def probe_noising(
    model: Model,
    data: Data,
    probe: ProbeFlags,
    read: ReadFlags,
    resample: ResampleFlags,
    load: LoadFlags,
    clips: Clips = None,
) -> None:
    """Noise clips to t, denoise from there, and measure what comes back of appearance and motion (Fig. 8).

    Goes on from an unfinished run. Prints the agreement with its interval and the file's path.
    """
    device = start(f"Noising probe of {model} on {data}", load.device, load.dtype)
    from videojam.evaluation.probes.noising import NoisingConfig, noising_probe, not_written
    from videojam.sampling.settings import read_settings, resolve

    config = build(NoisingConfig, "the probe", num_steps=resample.steps, **_config(probe))
    asked = read_settings(resample.content(), "the flags")
    path = _out(probe, "noising", model)
    with _running(probe) as progress:
        loaded = load.load(model, device)
        result = noising_probe(
            loaded,
            _source(loaded, data, read),
            path,
            config,
            guidance=resolve(loaded, asked).guidance,
            clips_folder=clips,
            progress=progress,
        )
    for line in result["summary"]:
        typer.echo(f"{line['measure']:<15}  from t {line['t']:.2f}  agreement {_interval(line['agreement'])}")
    if clips is not None and (earlier := not_written(clips, result)):
        say(
            f"not written to {clips}: {len(earlier)} clips that an earlier run measured; "
            "another --out measures them anew"
        )
    _finish(path, result, probe.plot)


@probe_app.command("guidance")
@grouped
def probe_guidance(
    model: Model, data: Data, probe: ProbeFlags, read: ReadFlags, load: LoadFlags, write: WriteFlags
) -> None:
    """Does guidance by text and by motion point towards the data: w*, the best scale for the error, against t.

    An ideal model has w* = 0; below 0 guidance goes away from the data. Use clips that the model has not been
    trained on. Goes on from an unfinished run. Prints w* with its interval, which w2 and window to try, and the
    file's path.
    """
    device = start(f"Guidance probe of {model} on {data}", load.device, load.dtype)
    from videojam.evaluation.probes.direction import advice
    from videojam.evaluation.probes.forward import ForwardConfig
    from videojam.evaluation.probes.guidance import guidance_probe
    from videojam.evaluation.probes.keep_advice import folder_to_keep, keep_advice

    own_folder = folder_to_keep(model) if write.write_defaults else None

    config = build(ForwardConfig, "the probe", **_config(probe))
    path = _out(probe, "guidance", model)
    with _running(probe) as progress:
        loaded = load.load(model, device)
        result = guidance_probe(loaded, _source(loaded, data, read), path, config, progress=progress)
    for line in result["summary"]:
        typer.echo(f"{line['condition']:<6}  t {line['t']:.2f}  w* {_interval(line['w_star'])}")
    typer.echo(advice(result["summary"]))
    if own_folder is not None:
        say(keep_advice(own_folder, result["summary"], data))
    _finish(path, result, probe.plot)


@probe_app.command("plot")
def probe_plot(
    files: Annotated[list[Path], typer.Argument(metavar="JSON...", help="Files of one kind of probe.")],
    out: Annotated[Path, typer.Option(parser=named_file, metavar="FILE", help="PNG, SVG or PDF file.")],
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A model's name, in the files' order; repeat. (default: its folder)"
        ),
    ] = None,
) -> None:
    """Draw several models on one plot."""
    say(f"plot of {len(files)} files")
    from videojam.evaluation.probes.plot import plot_probes

    typer.echo(str(plot_probes(files, out, label)))


def _times(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        return {"times": tuple(float(part) for part in text.split(","))}
    except ValueError:
        raise VideoJamError(
            expected="numbers separated by commas",
            found=repr(text),
            where="--t",
            fix="Write for instance 0.2,0.6,0.8.",
        ) from None


def _config(probe: ProbeFlags) -> dict[str, Any]:
    """Return the fields that every probe's config has."""
    shared = {"seed": probe.seed, "estimator": probe.estimator, "batch_size": probe.batch_size}
    return {**shared, **_times(probe.t)}


@contextmanager
def _running(probe: ProbeFlags) -> Iterator[ProgressDisplay]:
    """Show progress, and say how to go on when it is stopped or memory is not enough."""
    from videojam.cli.progress import ProgressDisplay

    with (
        stoppable(GO_ON),
        memory_explained(f"{probe.batch_size} clips together", LOWER),
        ProgressDisplay("measuring", "clips") as progress,
    ):
        yield progress


def _source(model: LoadedModel, data: str, read: ReadFlags) -> FolderSource | WorldSource:
    from videojam.evaluation.probes.clips import WORLD_SEED, ReadSize, source_of

    of_world = {"--texture": read.texture, "--world-seed": read.world_seed}
    given = [name for name, value in of_world.items() if value is not None]
    if given and not data.startswith("world:"):
        raise VideoJamError(
            expected="world:N as DATA, whose clips these flags describe",
            found=f"{', '.join(given)} with {data}",
            where="DATA",
            fix=f"Leave {' and '.join(given)} out, or give world:N.",
        )
    return build(
        source_of,
        "DATA",
        data=data,
        model=model,
        asked=ReadSize(read.frames, read.height, read.width, read.fps),
        skip_unreadable=read.skip,
        world={} if read.texture is None else {"texture": read.texture},
        world_seed=WORLD_SEED if read.world_seed is None else read.world_seed,
    )


def _out(flags: ProbeFlags, probe: str, model: str) -> Path:
    """Return the JSON file, which the plot beside it must not replace."""
    name = re.sub(r"[^\w.-]+", "-", model.strip("/")).strip("-.")
    path = flags.out or Path("out/probes") / f"{probe}-{name or 'model'}.json"
    if path.suffix.lower() == PLOT_SUFFIX:
        raise VideoJamError(
            expected="the name of the JSON file; the plot is written beside it",
            found=f"a name that ends in {path.suffix}",
            where=f"--out {path}",
            fix=f"Write --out {path.with_suffix('.json')}.",
        )
    return path


def _interval(interval: dict[str, Any]) -> str:
    if interval["mean"] is None:
        return "undefined: it changes no prediction"
    if interval["low"] is None:
        return f"{interval['mean']:+.4f} (" + ("one clip: " if interval["n"] == 1 else "") + "no interval)"
    return f"{interval['mean']:+.4f} ({interval['low']:+.4f} to {interval['high']:+.4f})"


def _finish(path: Path, result: dict[str, Any], plot: bool) -> None:
    """Draw, name the files, and list what was left out, which makes the exit code 1."""
    from videojam.evaluation.probes.plot import plot_probes

    if plot and find_spec("matplotlib") is None:
        say('not drawn: matplotlib is not installed; pip install "videojam[plots]"')
    elif plot:
        say(str(plot_probes([path], path.with_suffix(PLOT_SUFFIX))))
    typer.echo(str(path))
    say(f"Next, to compare models: videojam probe plot {path} OTHER.json --out compared.png")
    for name, reason in result["left_out"].items():
        say(f"left out: {name}: {reason}")
    raise typer.Exit(1 if result["left_out"] else 0)
