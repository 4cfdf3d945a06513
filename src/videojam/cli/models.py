"""The verbs on models: demo, convert, train, generate, verify, families, inspect, init."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from videojam.cli.common import MODEL_HELP, build, device_of, guidance_of, say, torch_dtype_of
from videojam.errors import VideoJamError

models_app = typer.Typer()


@models_app.command()
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


@models_app.command()
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
        base, out, motion=motion, output_init=output_init, revision=revision, progress=say
    )
    say(f"Wrote the joint model {folder}")


def _print_fields(asked: bool) -> bool:
    if asked:
        from videojam.training.config import describe_fields

        typer.echo("\n".join(describe_fields()))
        raise typer.Exit
    return asked


@models_app.command()
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
    from videojam.models.load import quiet_loading
    from videojam.training.progress import TrainProgress
    from videojam.training.run import train as train_recipe

    quiet_loading()
    with TrainProgress(config.num_steps) as progress:
        report = train_recipe(config, listen=progress)
    typer.echo(f"{report.model}: loaded again, the same seed gave the same latents ({report.stored}).")


@models_app.command()
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
    preset: Annotated[
        Literal["paper", "two-forwards"] | None,
        typer.Option(help="When each branch runs; two-forwards: at the cost of plain CFG."),
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(help="When motion guides: all, half (default), steps:0-50, t:0-0.4 or share:0-0.5."),
    ] = None,
    reuse_every: Annotated[
        int | None, typer.Option(min=1, help="Compute what guidance adds on every n-th step alone.")
    ] = None,
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
    image: Annotated[
        Path | None, typer.Option(help="First frame, for a base that is or can be image-to-video.")
    ] = None,
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
    from videojam.guidance.config import preset_fields
    from videojam.guidance.window import parse_window
    from videojam.models.load import load_model, quiet_loading
    from videojam.sampling.generate import generate as generate_files

    weights = {"mode": guidance, "w_text": w_text, "w_motion": w_motion}
    economy = {} if preset is None else preset_fields(preset)
    economy |= {} if window is None else {"window": parse_window(window)}
    economy |= {} if reuse_every is None else {"reuse_every": reuse_every}
    fixed = {
        "motion_on": motion_on,
        "drop_motion": drop_motion,
        "batched": batched,
    }
    first_frame = None if image is None else _open_image(image)
    quiet_loading()
    loaded = load_model(
        model, torch_dtype=torch_dtype_of(dtype), device=device_of(device), offload=offload, revision=revision
    )
    manifest = generate_files(
        loaded,
        prompts,
        out,
        seed=seed,
        guidance=guidance_of(loaded, {**weights, **economy, **fixed}),
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


@models_app.command()
def verify(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    device: Annotated[str | None, typer.Option(help="cuda if there is one, else cpu, if not given.")] = None,
) -> None:
    """Check that a saved model is the model that was trained: same seed, same latents. Exit 1 if not."""
    from videojam.models.load import quiet_loading
    from videojam.sampling.verify import verify as verify_model

    quiet_loading()
    report = verify_model(model, device=device_of(device))
    for name, value in report.model_dump().items():
        say(f"{name}: {value}")
    say("ok" if report.ok else "NOT ok: this is not the model that was saved")
    raise typer.Exit(0 if report.ok else 1)


@models_app.command()
def families(
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """List the known base architectures and what is supported of each."""
    from videojam.families.table import family_table

    rows = [row.model_dump() for row in family_table()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        typer.echo(f"{row['transformer_class']}: {row['supported']}")
        typer.echo(f"  {row['checkpoints']}; predicts {row['prediction']}")
        typer.echo(f"  {row['input_projection']}, {row['output_projection']} ({row['layout']})")


@models_app.command()
def inspect(
    model: Annotated[str, typer.Argument(help=f"{MODEL_HELP} A bare transformer folder too.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    lora_rank: Annotated[int, typer.Option(min=1, help="Rank that LoRA's memory is told for.")] = 16,
    revision: Annotated[str | None, typer.Option(help="Revision of a hub id.")] = None,
) -> None:
    """Tell what a model is, what converting changes in it, and what memory training takes.

    Reads configs and headers, no weights; of a hub id, it fetches the configs alone.
    """
    from videojam.models.load import quiet_loading
    from videojam.training.inspect_model import describe_lines, inspect_model

    quiet_loading()
    found = inspect_model(model, revision=revision, lora_rank=lora_rank)
    typer.echo(found.model_dump_json(indent=2) if as_json else "\n".join(describe_lines(found)))


@models_app.command()
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
    from videojam.joint.presets import init_pipeline
    from videojam.models.load import quiet_loading

    quiet_loading()
    folder = init_pipeline(
        preset,
        out,
        vae=vae,
        text_encoder=text_encoder,
        seed=seed,
        dtype=torch_dtype_of(dtype),
        overrides=dict(_whole_number(text) for text in overrides or []),
        progress=say,
    )
    say(f"Wrote {folder}")


def _whole_number(text: str) -> tuple[str, int]:
    key, _, value = text.partition("=")
    if not value.isdigit() or value == "0":
        raise VideoJamError(
            expected="KEY=VALUE with a whole number", found=text, where="--set", fix="As num_layers=2."
        )
    return key, int(value)


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


def _say_manifest(path: Path) -> None:
    manifest = json.loads(path.read_text())
    for clip in manifest["clips"]:
        say(f"{path.parent / clip['files']['video']}  seed {clip['seed']}  {clip['prompt']}")
    typer.echo(str(path))
