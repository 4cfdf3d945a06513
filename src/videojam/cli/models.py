"""`videojam convert`, `inspect`, `families`, `init`: what a model is, and making one."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from videojam.cli.common import MODEL_HELP, build, named_folder, say, seed_number
from videojam.cli.flags import grouped
from videojam.errors import VideoJamError
from videojam.motion.choices import Curve, Estimator, Noise, Padding, Style

if TYPE_CHECKING:
    from videojam.models.describe import ModelFacts

models_app = typer.Typer()


@dataclass(frozen=True)
class MotionFlags:
    """Flags of the motion code."""

    estimator: Annotated[Estimator, typer.Option(help="What measures the flow of the training clips.")] = (
        "raft"
    )
    style: Annotated[
        Style,
        typer.Option(help="What speed drives: value (static is black) or saturation (static is white)."),
    ] = "value"
    scale: Annotated[
        float,
        typer.Option(
            metavar="S", help="s of Eq. 5: share of the diagonal, per frame, that is drawn at full strength."
        ),
    ] = 0.15
    curve: Annotated[Curve, typer.Option(help="Curve on the speed; sqrt, log show slow motion.")] = "linear"
    padding: Annotated[Padding, typer.Option(help="Which flow is doubled to have one for each frame.")] = (
        "first"
    )
    noise: Annotated[Noise, typer.Option(help="Noise level of motion: that of the picture, or its own.")] = (
        "same"
    )


@models_app.command()
@grouped
def convert(
    base: Annotated[
        str, typer.Argument(metavar="BASE", help="Pipeline folder, bare transformer folder or hub id.")
    ],
    out: Annotated[
        Path,
        typer.Argument(parser=named_folder, metavar="OUT", help="Joint folder to write; must not exist."),
    ],
    motion: MotionFlags,
    output_init: Annotated[
        Literal["zero", "copy"],
        typer.Option(help="How the new output rows start: zero, or appearance's rows."),
    ] = "zero",
    revision: Annotated[
        str | None, typer.Option(metavar="REV", help="Revision of a hub id. (default: the newest)")
    ] = None,
) -> None:
    """Write the joint model of a base: two projections widened, its motion record beside it."""
    say(f"convert {base}: reading its configs and headers, on the CPU in the type of its weights")
    from videojam.joint.convert import convert as convert_folder
    from videojam.motion.code import MotionCode

    code = build(MotionCode, "the motion code", **asdict(motion))
    folder = convert_folder(base, out, motion=code, output_init=output_init, revision=revision, progress=say)
    say(f"Wrote the joint model {folder}. Its motion half is untrained.")
    say(
        "Next: videojam train RECIPE, with `base: "
        + str(folder)
        + "` in it; recipes/ has some to start from."
    )


@models_app.command()
def families(
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """List the known base architectures and what is supported of each."""
    say("Transformer classes of diffusers that are known")
    from videojam.families.table import family_table

    rows = [row.model_dump() for row in family_table()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        typer.echo(f"{row['transformer_class']}: {row['supported']}")
        typer.echo(f"  {row['checkpoints']}; predicts {row['prediction']}")
        typer.echo(f"  {row['input_projection']}, {row['output_projection']} ({row['layout']})")
    say("Next: videojam inspect MODEL, of a folder or hub id")


@models_app.command()
def inspect(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help=f"{MODEL_HELP} A bare transformer folder too.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    lora_rank: Annotated[
        int, typer.Option(metavar="N", min=1, help="Rank for which LoRA's memory is printed.")
    ] = 16,
    revision: Annotated[
        str | None, typer.Option(metavar="REV", help="Revision of a hub id. (default: the newest)")
    ] = None,
) -> None:
    """Show what a model is, what converting changes in it, and what memory training takes.

    Reads configs and headers, no weights; of a hub id, it fetches only the configs.
    """
    say(f"inspect {model}: reading configs and headers, no weights")
    from videojam.models.load import quiet_loading
    from videojam.training.inspect_model import describe_lines, inspect_model

    quiet_loading()
    found = inspect_model(model, revision=revision, lora_rank=lora_rank)
    typer.echo(found.model_dump_json(indent=2) if as_json else "\n".join(describe_lines(found)))
    say(f"Next: {_next_of(found.model)}")


def _next_of(model: ModelFacts) -> str:
    """Return the next command for a model: sampling a joint one, training or converting a base."""
    name, can_train = shlex.quote(model.source), "train" in model.transformers[0].supported
    if model.is_joint and can_train:
        return f'videojam generate {name} "A PROMPT" --out clips'
    if model.pipeline_class is None or not can_train:
        return f"videojam convert {name} joint" if not model.is_joint else "docs/families.md"
    return f"videojam train recipes/folder.yaml --set base={name} data.source.path=CLIPS"


@models_app.command()
def init(
    preset: Annotated[
        str, typer.Argument(metavar="PRESET", help="dit-4b or dit-30b, the sizes of the paper's own bases.")
    ],
    out: Annotated[
        Path,
        typer.Argument(parser=named_folder, metavar="OUT", help="Pipeline folder to write; must not exist."),
    ],
    vae: Annotated[
        str,
        typer.Option(metavar="MODEL", help="Wan pipeline (folder or hub id) to take the autoencoder from."),
    ],
    text_encoder: Annotated[
        str,
        typer.Option(
            metavar="MODEL", help="Wan pipeline (folder or hub id) to take text encoder and tokenizer from."
        ),
    ],
    seed: Annotated[
        int, typer.Option(parser=seed_number, metavar="N", help="Seed of the random weights.")
    ] = 0,
    dtype: Annotated[Literal["float32", "bfloat16"], typer.Option(help="Type of the weights.")] = "bfloat16",
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A smaller copy to try, as num_layers=2. (default: the preset's size)",
        ),
    ] = None,
) -> None:
    """Write a pipeline with the random weights of a preset, to train from scratch.

    See docs/presets.md for what of a preset is the paper's and what is chosen.
    """
    say(f"init {preset}: reading {vae} and {text_encoder}; weights are drawn on the CPU in {dtype}")
    import torch

    from videojam.models.initialise import init_pipeline
    from videojam.models.load import quiet_loading

    quiet_loading()
    folder = init_pipeline(
        preset,
        out,
        vae=vae,
        text_encoder=text_encoder,
        seed=seed,
        dtype=getattr(torch, dtype),
        overrides=dict(_whole_number(text) for text in overrides or []),
        progress=say,
    )
    say(f"Wrote {folder}")
    say("Next: videojam train RECIPE, with `base: " + str(folder) + "` in it.")


def _whole_number(text: str) -> tuple[str, int]:
    key, _, value = text.partition("=")
    if not value.isdigit() or value == "0":
        raise VideoJamError(
            expected="KEY=VALUE with a whole number",
            found=text,
            where="--set",
            fix="Write it as num_layers=2.",
        )
    return key, int(value)
