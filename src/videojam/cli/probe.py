"""`videojam probe <verb>`: the paper's diagnostics, Fig. 3 and Fig. 8."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from videojam.cli.common import MODEL_HELP, build, device_of, guidance_of, say, torch_dtype_of
from videojam.errors import VideoJamError
from videojam.guidance.rules import RULES

if TYPE_CHECKING:
    from videojam.data.config import FolderSource, WorldSource
    from videojam.models.load import LoadedModel

probe_app = typer.Typer(
    help="The paper's diagnostics: is the order of frames noticed (Fig. 3), when is motion fixed (Fig. 8).",
    no_args_is_help=True,
)

Model = Annotated[str, typer.Argument(help=MODEL_HELP)]
Data = Annotated[str, typer.Argument(help="Folder of videos with captions (.txt), or world:N.")]
Out = Annotated[Path | None, typer.Option(help="JSON file; out/probes/<probe>-<model>.json if not given.")]
Plot = Annotated[bool, typer.Option("--plot/--no-plot", help="Draw a PNG beside the JSON file.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of noise and permutations.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Clips measured together.")]
FlowOf = Annotated[
    Literal["raft", "dis"] | None, typer.Option(help="What measures flow in place of the model's own choice.")
]
Frames = Annotated[int | None, typer.Option(min=2, help="Frames of a clip.")]
Height = Annotated[int | None, typer.Option(min=1, help="In px.")]
Width = Annotated[int | None, typer.Option(min=1, help="In px.")]
Fps = Annotated[float | None, typer.Option(help="Rate that clips are resampled to.")]
Skip = Annotated[
    bool, typer.Option("--skip", help="Leave out and list clips that can't be used; exit code 1.")
]
Texture = Annotated[float | None, typer.Option(help="Texture of world clips: 0 smooth .. 1 per-pixel grain.")]
Clutter = Annotated[int | None, typer.Option(help="Static distractors in world clips.")]
WorldSeed = Annotated[int | None, typer.Option(min=0, help="Seed of the first world clip.")]
Dtype = Annotated[
    Literal["float32", "bfloat16", "float16"] | None,
    typer.Option(help="float32 on the CPU and bfloat16 elsewhere, if not given."),
]
Device = Annotated[str | None, typer.Option(help="cuda if there is one, else cpu, if not given.")]
Revision = Annotated[str | None, typer.Option(help="Revision of a hub id.")]


@probe_app.command("permutation")
def probe_permutation(
    model: Model,
    data: Data,
    out: Out = None,
    t: Annotated[str | None, typer.Option(help="Times, as 0.1,0.5,0.9; 0 is noise, 1 data.")] = None,
    seed: Seed = 0,
    estimator: FlowOf = None,
    batch_size: BatchSize = 4,
    frames: Frames = None,
    height: Height = None,
    width: Width = None,
    fps: Fps = None,
    skip: Skip = False,
    texture: Texture = None,
    clutter: Clutter = None,
    world_seed: WorldSeed = None,
    plot: Plot = True,
    dtype: Dtype = None,
    device: Device = None,
    revision: Revision = None,
) -> None:
    """Loss of clips, and of the same clips with their frames permuted, against t (Fig. 3).

    Goes on from an unfinished file. Prints the gap with its interval and the file's path.
    """
    from videojam.evaluation.probes.permutation import PermutationConfig, permutation_probe

    fields = {"seed": seed, "estimator": estimator, "batch_size": batch_size, **_times(t)}
    config = build(PermutationConfig, "the probe", **fields)
    loaded = _load(model, dtype, device, revision)
    source = _source(loaded, data, frames, height, width, fps, skip, texture, clutter, world_seed)
    path = out or _default_out("permutation", model)
    result = permutation_probe(loaded, source, path, config, progress=_progress)
    for line in result["summary"]:
        losses = f"ordered {line['ordered']:.4f}  permuted {line['permuted']:.4f}"
        typer.echo(f"{line['loss']:<22}  t {line['t']:.2f}  {losses}  gap {_interval(line['gap'])}")
    _finish(path, result, plot)


@probe_app.command("noising")
def probe_noising(
    model: Model,
    data: Data,
    out: Out = None,
    t: Annotated[
        str | None, typer.Option(help="Times to noise to, as 0,0.6,1; 0 is only noise, 1 the clip.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of a whole run.")] = None,
    guidance: Annotated[
        str | None,
        typer.Option(metavar="RULE", help=f"One of {', '.join(RULES)}. (default: inner; cfg for a base)"),
    ] = None,
    w_text: Annotated[float | None, typer.Option(help="w1; 5 unless the model says otherwise.")] = None,
    w_motion: Annotated[float | None, typer.Option(help="w2; 3 unless the model says otherwise.")] = None,
    window: Annotated[
        str | None, typer.Option(help="When motion guides, as in videojam generate. (default: half)")
    ] = None,
    drop_motion: Annotated[bool, typer.Option(help="No motion in any forward, as for a control.")] = False,
    clips: Annotated[Path | None, typer.Option(help="Folder to write the clips to, for looking.")] = None,
    seed: Seed = 0,
    estimator: FlowOf = None,
    batch_size: BatchSize = 4,
    frames: Frames = None,
    height: Height = None,
    width: Width = None,
    fps: Fps = None,
    skip: Skip = False,
    texture: Texture = None,
    clutter: Clutter = None,
    world_seed: WorldSeed = None,
    plot: Plot = True,
    dtype: Dtype = None,
    device: Device = None,
    revision: Revision = None,
) -> None:
    """Noise clips to t, denoise from there, and measure what comes back of appearance and motion (Fig. 8).

    Goes on from an unfinished file. Prints the agreement with its interval and the file's path.
    """
    from videojam.evaluation.probes.noising import NoisingConfig, noising_probe

    fields = {"num_steps": steps, "seed": seed, "estimator": estimator, "batch_size": batch_size, **_times(t)}
    config = build(NoisingConfig, "the probe", **fields)
    loaded = _load(model, dtype, device, revision)
    asked: dict[str, Any] = {"mode": guidance, "w_text": w_text, "w_motion": w_motion}
    asked |= {"window": window, "drop_motion": drop_motion}
    how = guidance_of(loaded, asked)
    source = _source(loaded, data, frames, height, width, fps, skip, texture, clutter, world_seed)
    path = out or _default_out("noising", model)
    result = noising_probe(loaded, source, path, config, guidance=how, clips_folder=clips, progress=_progress)
    for line in result["summary"]:
        typer.echo(f"{line['measure']:<15}  from t {line['t']:.2f}  agreement {_interval(line['agreement'])}")
    _finish(path, result, plot)


@probe_app.command("plot")
def probe_plot(
    files: Annotated[list[Path], typer.Argument(metavar="JSON...", help="Files of one kind of probe.")],
    out: Annotated[Path, typer.Option(help="PNG, SVG or PDF file.")],
    label: Annotated[
        list[str] | None, typer.Option(help="Name of a file's model, in the files' order; repeat.")
    ] = None,
) -> None:
    """Draw several models on one plot."""
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


def _load(model: str, dtype: str | None, device: str | None, revision: str | None) -> LoadedModel:
    from videojam.models.load import load_model, quiet_loading

    quiet_loading()
    return load_model(model, torch_dtype=torch_dtype_of(dtype), device=device_of(device), revision=revision)


def _source(
    model: LoadedModel,
    data: str,
    frames: int | None,
    height: int | None,
    width: int | None,
    fps: float | None,
    skip: bool,
    texture: float | None,
    clutter: int | None,
    world_seed: int | None,
) -> FolderSource | WorldSource:
    from videojam.evaluation.probes.clips import WORLD_SEED, source_of

    world = {name: value for name, value in (("texture", texture), ("clutter", clutter)) if value is not None}
    return build(
        source_of,
        "DATA",
        data=data,
        model=model,
        num_frames=frames,
        height=height,
        width=width,
        fps=fps,
        skip_unreadable=skip,
        world=world,
        world_seed=WORLD_SEED if world_seed is None else world_seed,
    )


def _default_out(probe: str, model: str) -> Path:
    name = re.sub(r"[^\w.-]+", "-", model.strip("/")).strip("-.")
    return Path("out/probes") / f"{probe}-{name or 'model'}.json"


def _progress(done: int, total: int) -> None:
    say(f"{done} of {total} clips")


def _interval(interval: dict[str, Any]) -> str:
    if interval["low"] is None:
        return f"{interval['mean']:+.4f} (one clip: no interval)"
    return f"{interval['mean']:+.4f} ({interval['low']:+.4f} to {interval['high']:+.4f})"


def _finish(path: Path, result: dict[str, Any], plot: bool) -> None:
    """Draw, name the files, and list what was left out, which makes the exit code 1."""
    from videojam.evaluation.probes.plot import plot_probes

    if plot and find_spec("matplotlib") is None:
        say('not drawn: matplotlib is not installed; pip install "videojam[plots]"')
    elif plot:
        say(str(plot_probes([path], path.with_suffix(".png"))))
    typer.echo(str(path))
    for name, reason in result["left_out"].items():
        say(f"left out: {name}: {reason}")
    raise typer.Exit(1 if result["left_out"] else 0)
