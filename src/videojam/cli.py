"""The command line: `videojam <verb>`, each verb a thin call of one public function.

Everything heavy is imported inside the verbs, so that `videojam --help` answers at once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from videojam.errors import VideoJamError

if TYPE_CHECKING:
    from videojam.guidance.config import GuidanceConfig
    from videojam.joint.load import LoadedModel

EXIT_USER_ERROR = 2

app = typer.Typer(
    name="videojam",
    help="A motion prior for pretrained text-to-video diffusion transformers (VideoJAM, arXiv 2502.02492).",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    add_completion=False,
)
world_app = typer.Typer(help="The procedural benchmark: render clips, score coherence.", no_args_is_help=True)
app.add_typer(world_app, name="world")

MODEL_HELP = "Pipeline folder, hub id, or a shipped model: tiny:base, tiny:control, tiny:videojam."


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """A motion prior for pretrained text-to-video diffusion transformers (VideoJAM, arXiv 2502.02492)."""
    if version:
        from videojam import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the page and the clips.")] = Path("out/demo"),
    clips_per_kind: Annotated[
        int, typer.Option(min=1, help="Prompts for each of the world's five kinds.")
    ] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Other prompts and other noise.")] = 0,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Sampling steps; the model's own by default.")
    ] = None,
    models: Annotated[
        Path | None,
        typer.Option(help="Folder with base/, control/ and videojam/ in place of the shipped ones."),
    ] = None,
) -> None:
    """Show base, control and VideoJAM on the same prompts and noise: a page to look at and a table."""
    from videojam.demo import print_result, run_demo

    result = run_demo(out, clips_per_kind=clips_per_kind, seed=seed, num_steps=steps, models=models)
    print_result(result)


@app.command()
def convert(
    base: Annotated[str, typer.Argument(help="Pipeline folder, bare transformer folder or hub id.")],
    out: Annotated[Path, typer.Argument(help="Joint folder to write; must not exist.")],
    estimator: Annotated[
        Literal["raft", "dis", "exact"], typer.Option(help="What measures the flow of the training clips.")
    ] = "raft",
    style: Annotated[
        Literal["value", "saturation"],
        typer.Option(help="What speed drives: value (static is black) or saturation (static is white)."),
    ] = "value",
    scale: Annotated[
        float,
        typer.Option(help="s of Eq. 5: share of the diagonal, per frame, that is drawn at full strength."),
    ] = 0.15,
    curve: Annotated[
        Literal["linear", "sqrt", "log"], typer.Option(help="Curve on the speed; sqrt, log show slow motion.")
    ] = "linear",
    padding: Annotated[
        Literal["first", "last"], typer.Option(help="Which flow is doubled to have one for each frame.")
    ] = "first",
    output_init: Annotated[
        Literal["zero", "copy"],
        typer.Option(help="How the new output rows start: zero, or appearance's rows."),
    ] = "zero",
    revision: Annotated[str | None, typer.Option(help="Revision of a hub id.")] = None,
) -> None:
    """Write the joint model of a base: two projections widened, its motion record beside it."""
    from videojam.joint.convert import convert as convert_folder
    from videojam.motion.code import MotionCode

    fields = {"estimator": estimator, "style": style, "scale": scale, "curve": curve, "padding": padding}
    motion = build(MotionCode, "the motion code", **fields)
    folder = convert_folder(
        base, out, motion=motion, output_init=output_init, revision=revision, progress=_say
    )
    _say(f"Wrote the joint model {folder}")


def _print_fields(asked: bool) -> bool:
    if asked:
        from videojam.training.config import describe_fields

        typer.echo("\n".join(describe_fields()))
        raise typer.Exit
    return asked


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="YAML file; see recipes/.")],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Further keys, as after --set.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a key of the recipe, as optimizer.learning_rate=1e-5; repeat for more.",
        ),
    ] = None,
    fields: Annotated[
        bool,
        typer.Option("--fields", callback=_print_fields, is_eager=True, help="List every key of a recipe."),
    ] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the recipe with its defaults filled in, and stop.")
    ] = False,
) -> None:
    """Train a joint model, or its control, by a recipe.

    Every key of a recipe, its default and its meaning: videojam train --fields, and docs/training.md.
    An unknown or misspelt key is an error.
    """
    from videojam.training.config import load_recipe

    config = load_recipe(recipe, [*(overrides or []), *(more or [])])
    if print_config:
        import yaml

        typer.echo(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), nl=False)
        return
    from videojam.joint.load import quiet_loading
    from videojam.training.progress import TrainProgress
    from videojam.training.run import train as train_recipe

    quiet_loading()
    with TrainProgress(config.num_steps) as progress:
        report = train_recipe(config, listen=progress)
    typer.echo(f"{report.model}: loaded again, the same seed gave the same latents ({report.stored}).")


@app.command()
def generate(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    prompts: Annotated[list[str], typer.Argument(metavar="PROMPT...", help="One or more prompts.")],
    out: Annotated[Path, typer.Option(help="Folder for clips, motion, flow and manifest.json.")],
    seed: Annotated[int, typer.Option(help="Seed of the first clip; the next ones follow it.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="Sampling steps.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Frames a clip; 4k+1 for Wan.")] = None,
    height: Annotated[int | None, typer.Option(min=1, help="In px.")] = None,
    width: Annotated[int | None, typer.Option(min=1, help="In px.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frame rate of the files.")] = None,
    guidance: Annotated[
        Literal["inner", "cfg", "ip2p", "none"] | None,
        typer.Option(help="inner for a joint model and cfg for a base, if not given."),
    ] = None,
    w_text: Annotated[float | None, typer.Option(help="w1; 5 unless the model says otherwise.")] = None,
    w_motion: Annotated[float | None, typer.Option(help="w2; 3 unless the model says otherwise.")] = None,
    window: Annotated[
        str, typer.Option(help="When motion guides: all, half, steps:0-50, t:0-0.4 or share:0-0.5.")
    ] = "half",
    motion_on: Annotated[
        Literal["both", "appearance"], typer.Option(help="What w2 guides: both halves (paper) or appearance.")
    ] = "both",
    drop_motion: Annotated[bool, typer.Option(help="Ablation: no optical flow in any forward.")] = False,
    batched: Annotated[
        bool, typer.Option(help="Null-motion branch in one batch: faster, more memory.")
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Clips sampled together.")] = 1,
    negative_prompt: Annotated[str | None, typer.Option(help="Null text; the base's own by default.")] = None,
    schedule: Annotated[
        Literal["base", "linear_quadratic"], typer.Option(help="The base's own, or linear-quadratic.")
    ] = "base",
    shift: Annotated[float | None, typer.Option(help="Flow shift in place of the base's.")] = None,
    image: Annotated[Path | None, typer.Option(help="First frame, for an image-to-video base.")] = None,
    side_by_side: Annotated[bool, typer.Option(help="Also write video and motion in one file.")] = False,
    offload: Annotated[bool, typer.Option(help="Keep components on the CPU while they don't run.")] = False,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"] | None,
        typer.Option(help="float32 on the CPU and bfloat16 elsewhere, if not given."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cuda if there is one, else cpu, if not given.")] = None,
    revision: Annotated[str | None, typer.Option(help="Revision of a hub id.")] = None,
) -> None:
    """Generate clips of prompts: mp4, the predicted motion as mp4 and as flow, and a manifest."""
    from videojam.guidance.window import parse_window
    from videojam.joint.load import load_model, quiet_loading
    from videojam.sampling.generate import generate as generate_files

    weights = {"mode": guidance, "w_text": w_text, "w_motion": w_motion}
    fixed = {
        "window": parse_window(window),
        "motion_on": motion_on,
        "drop_motion": drop_motion,
        "batched": batched,
    }
    first_frame = None if image is None else _open_image(image)
    quiet_loading()
    loaded = load_model(
        model, torch_dtype=_torch_dtype(dtype), device=_device(device), offload=offload, revision=revision
    )
    manifest = generate_files(
        loaded,
        prompts,
        out,
        seed=seed,
        guidance=_guidance(loaded, {**weights, **fixed}),
        fps=fps,
        batch_size=batch_size,
        side_by_side=side_by_side,
        num_steps=steps,
        num_frames=frames,
        height=height,
        width=width,
        negative_prompt=negative_prompt,
        schedule=schedule,
        shift=shift,
        image=first_frame,
        progress=sys.stderr.isatty(),
    )
    _say_manifest(manifest)


@app.command()
def verify(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    device: Annotated[str | None, typer.Option(help="cuda if there is one, else cpu, if not given.")] = None,
) -> None:
    """Check that a saved model is the model that was trained: same seed, same latents. Exit 1 if not."""
    from videojam.joint.load import quiet_loading
    from videojam.sampling.verify import verify as verify_model

    quiet_loading()
    report = verify_model(model, device=_device(device))
    for name, value in report.model_dump().items():
        _say(f"{name}: {value}")
    _say("ok" if report.ok else "NOT ok: this is not the model that was saved")
    raise typer.Exit(0 if report.ok else 1)


@app.command()
def families(
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """List the known base architectures and what is supported of each."""
    from videojam.joint.table import family_table

    rows = [row.model_dump() for row in family_table()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        typer.echo(f"{row['transformer_class']}: {row['supported']}")
        typer.echo(f"  {row['checkpoints']}; predicts {row['prediction']}")
        typer.echo(f"  {row['input_projection']}, {row['output_projection']} ({row['layout']})")


@app.command()
def inspect(
    model: Annotated[str, typer.Argument(help=f"{MODEL_HELP} A bare transformer folder too.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    lora_rank: Annotated[int, typer.Option(min=1, help="Rank that LoRA's memory is told for.")] = 16,
    revision: Annotated[str | None, typer.Option(help="Revision of a hub id.")] = None,
) -> None:
    """Tell what a model is, what converting changes in it, and what memory training takes.

    Reads configs and headers, no weights; of a hub id, it fetches the configs alone.
    """
    from videojam.joint.load import quiet_loading
    from videojam.training.inspect_model import describe_lines, inspect_model

    quiet_loading()
    found = inspect_model(model, revision=revision, lora_rank=lora_rank)
    typer.echo(found.model_dump_json(indent=2) if as_json else "\n".join(describe_lines(found)))


@app.command()
def init(
    preset: Annotated[str, typer.Argument(help="dit-4b or dit-30b, the sizes of the paper's own bases.")],
    out: Annotated[Path, typer.Argument(help="Pipeline folder to write; must not exist.")],
    vae: Annotated[str, typer.Option(help="Wan pipeline (folder or hub id) to take the autoencoder from.")],
    text_encoder: Annotated[
        str, typer.Option(help="Wan pipeline (folder or hub id) to take text encoder and tokenizer from.")
    ],
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random weights.")] = 0,
    dtype: Annotated[Literal["float32", "bfloat16"], typer.Option(help="Type of the weights.")] = "bfloat16",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A smaller copy to try, as num_layers=2."),
    ] = None,
) -> None:
    """Write a pipeline with the random weights of a preset, to train from scratch.

    See docs/presets.md for what of a preset is the paper's and what is chosen.
    """
    from videojam.joint.load import quiet_loading
    from videojam.joint.presets import init_pipeline

    quiet_loading()
    folder = init_pipeline(
        preset,
        out,
        vae=vae,
        text_encoder=text_encoder,
        seed=seed,
        dtype=_torch_dtype(dtype),
        overrides=dict(_whole_number(text) for text in overrides or []),
        progress=_say,
    )
    _say(f"Wrote {folder}")


def _whole_number(text: str) -> tuple[str, int]:
    key, _, value = text.partition("=")
    if not value.isdigit() or value == "0":
        raise VideoJamError(
            expected="KEY=VALUE with a whole number", found=text, where="--set", fix="As num_layers=2."
        )
    return key, int(value)


@world_app.command("render")
def world_render(
    out: Annotated[Path, typer.Argument(help="Folder for mp4, caption (.txt) and exact flow files.")],
    clips: Annotated[int, typer.Option(min=1, help="How many clips.")],
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first clip; the next ones follow it.")] = 0,
    texture: Annotated[float, typer.Option(help="Background: 0 smooth .. 1 per-pixel grain.")] = 0.25,
    clutter: Annotated[int, typer.Option(help="Static distractor shapes.")] = 0,
    kind: Annotated[list[str] | None, typer.Option(help="Only this kind; repeat for several.")] = None,
) -> None:
    """Render clips of the world: mp4 + caption + exact flow."""
    from videojam.world import KINDS, WorldConfig, render_folder

    fields = {"texture": texture, "clutter": clutter, "kinds": tuple(kind or KINDS)}
    render_folder(out, num_clips=clips, seed=seed, config=build(WorldConfig, "the world", **fields))
    _say(f"Wrote {clips} clips to {out}")


@world_app.command("score")
def world_score(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of mp4 files with captions (.txt).")],
    as_json: Annotated[bool, typer.Option("--json", help="Print every measure as JSON.")] = False,
) -> None:
    """Score the coherence of a folder's clips from mp4 and caption alone.

    A clip that can't be scored is listed with its reason, is in no rate, and makes the exit code 1.
    """
    from videojam.world import score_folder

    report = score_folder(folder)
    typer.echo(json.dumps(report, indent=2) if as_json else _score_lines(report))
    for problem in report["problems"]:
        _say(f"not scored: {problem['name']}: {problem['reason']}")
    raise typer.Exit(1 if report["problems"] else 0)


Config = TypeVar("Config")


def build(kind: Callable[..., Config], where: str, **fields: Any) -> Config:
    """Build a config from flags, telling a value that doesn't fit as every other error is told."""
    from pydantic import ValidationError

    try:
        return kind(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the combination of flags"
        raise VideoJamError(
            expected=f"a value that fits {key}: {first['msg']}",
            found=repr(first["input"]),
            where=where,
            fix="Correct the flag; --help describes it.",
        ) from None


def run() -> None:
    """Run the command line; a `VideoJamError` is told without a traceback and exits with 2."""
    try:
        app()
    except VideoJamError as error:
        print_error(error)
        sys.exit(EXIT_USER_ERROR)
    except KeyboardInterrupt:  # outside of a verb: during imports
        sys.exit(130)


def print_error(error: VideoJamError) -> None:
    """Print what was expected, found, where, and what to do, to stderr."""
    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    parts = (("expected", error.expected), ("found", error.found), ("where", error.where), ("do", error.fix))
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:  # whole lines for logs and scripts
        lines = (f"  {name:<9}{text}" for name, text in parts)
        print("error", *lines, sep="\n", file=sys.stderr)
        return
    rows = Table.grid(padding=(0, 2))
    for name, text in parts:
        rows.add_row(Text(name, style="bold"), Text(text))
    console.print(Panel(rows, title="error", title_align="left", border_style="red"))


def _guidance(model: LoadedModel, asked: dict[str, Any]) -> GuidanceConfig:
    from videojam.guidance.config import GuidanceConfig
    from videojam.sampling.sample import default_guidance

    given = {name: value for name, value in asked.items() if value is not None}
    return build(GuidanceConfig, "guidance", **{**default_guidance(model).model_dump(), **given})


def _device(name: str | None) -> str:
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise VideoJamError(
            expected="a device that torch can use here",
            found=str(error).splitlines()[0],
            where=f"--device {name}",
            fix="Choose cpu, or leave --device out.",
        ) from None
    return name


def _torch_dtype(name: str | None) -> Any:
    import torch

    return None if name is None else getattr(torch, name)


def _open_image(path: Path) -> Any:
    from PIL import Image

    try:
        return Image.open(path).convert("RGB")
    except OSError as error:
        raise VideoJamError(
            expected="an image file",
            found=error.strerror or "not a readable image",
            where=str(path),
            fix="Check the path; PNG and JPEG work.",
        ) from None


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _say_manifest(path: Path) -> None:
    manifest = json.loads(path.read_text())
    for clip in manifest["clips"]:
        _say(f"{path.parent / clip['files']['video']}  seed {clip['seed']}  {clip['prompt']}")
    typer.echo(str(path))


def _score_lines(report: dict[str, Any]) -> str:
    """Write one line a clip, one a kind, and the whole."""
    lines = [
        f"{clip['name']}  {clip['kind']:<9}  {'; '.join(clip['reasons']) or 'coherent'}"
        for clip in report["clips"]
    ]
    rates = {**report["kinds"], "all": report}
    for name, rate in rates.items():
        if rate["num_scored"]:
            shares = f"coherent {rate['coherent']:.1%}, follows its prompt {rate['follows_prompt']:.1%}"
            lines.append(f"{name:<9}  {shares}, n = {rate['num_scored']}")
    return "\n".join(lines)
