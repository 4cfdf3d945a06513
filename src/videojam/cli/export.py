"""`videojam export`: a run or a model to give away."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from videojam.cli.common import Device, build, named_path, say, seed_number, start, stoppable
from videojam.cli.flags import flag, grouped
from videojam.errors import VideoJamError
from videojam.out_of_memory import memory_explained

MERGED, CARD, HUB = "What is merged", "The card", "The Hub"

export_app = typer.Typer()


@dataclass(frozen=True)
class MergeFlags:
    """Flags of what is merged, and into what."""

    weights: Annotated[
        Literal["average", "last"],
        flag("Of a run: average (EMA) or last step.", MERGED, metavar="WEIGHTS", show_default=True),
    ] = "average"
    lora: Annotated[
        Path | None,
        flag(
            "RUN/lora to merge into SOURCE, its base. (default: no adapters)",
            MERGED,
            metavar="DIR",
            parser=named_path,
        ),
    ] = None
    expert: Annotated[
        str | None,
        flag(
            "Of two experts, the one of --lora: transformer or transformer_2. (default: the only one)",
            MERGED,
            metavar="NAME",
        ),
    ] = None
    save_dtype: Annotated[
        Literal["bf16", "fp32"] | None,
        flag("bf16 or fp32: type of what --lora is merged into. (default: bf16)", MERGED, metavar="TYPE"),
    ] = None
    single_file: Annotated[
        bool, flag("Only the transformer, with the original names, for ComfyUI.", MERGED, "--single-file")
    ] = False


@dataclass(frozen=True)
class CardFlags:
    """Flags of the card."""

    prompt: Annotated[
        list[str] | None,
        flag("Prompt of a sample; repeat for more. (default: no samples)", CARD, metavar="TEXT"),
    ] = None
    seed: Annotated[
        int, flag("Seed of the first sample.", CARD, parser=seed_number, metavar="N", show_default=True)
    ] = 0
    steps: Annotated[
        int | None, flag("Steps of the samples. (default: the model's)", CARD, metavar="N", min=1)
    ] = None
    license: Annotated[
        str | None,
        flag("Its identifier, as apache-2.0. (default: what the base's card states)", CARD, metavar="ID"),
    ] = None


@dataclass(frozen=True)
class HubFlags:
    """Flags of the upload."""

    push: Annotated[
        str | None,
        flag(
            "Upload it; the token is HF_TOKEN of the environment. (default: no upload)",
            HUB,
            metavar="OWNER/NAME",
        ),
    ] = None
    private: Annotated[bool, flag("A repository that is made is private.", HUB, "--private")] = False


@export_app.command()
@grouped
def export(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="Folder of a training run, pipeline folder, hub id, or tiny:NAME."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            parser=named_path,
            metavar="DIR",
            help="Folder to write; must not exist. With --single-file also NAME.safetensors, the file alone.",
        ),
    ],
    merge: MergeFlags,
    card: CardFlags,
    hub: HubFlags,
    device: Device = None,
) -> None:
    """Write a model to give away: everything merged, a model card, proven to load; for ComfyUI with --single-file.

    Of a run, the model with averaged weights is exported, or, where it is not finished, its newest checkpoint.
    """
    if hub.private and hub.push is None:
        raise VideoJamError(
            expected="--private only with --push",
            found="--private",
            where="the flags",
            fix="Add --push OWNER/NAME, or leave --private out.",
        )
    where = start(f"export {source}", device, "float32")
    from videojam.models.load import quiet_loading
    from videojam.training.outcome.export import export as export_model
    from videojam.training.outcome.export import names_file, require_fitting_name
    from videojam.training.outcome.push import push, require_hub
    from videojam.training.outcome.settings import ExportSettings

    quiet_loading()
    settings = build(ExportSettings, "the flags", **_fields(merge, card), device=where)
    require_fitting_name(out, settings, uploads=hub.push is not None)
    fix = "Leave --prompt out, use --device cpu, or end other programs."
    with stoppable("Nothing was written."), memory_explained("the model in float32", fix):
        if hub.push is not None:
            require_hub(hub.push)
        folder = export_model(source, out, settings, say=say)
    say(f"Wrote {folder}" + ("" if names_file(out) else f"; its card is {folder / 'README.md'}"))
    if hub.push is not None:
        with stoppable(f"{folder} is whole; upload it with: hf upload {hub.push} {folder}"):
            say(f"uploading to {hub.push}")
            say(f"uploaded: {push(folder, hub.push, private=hub.private)}")
    elif settings.single_file:
        say("Next: put the .safetensors file into ComfyUI's models/diffusion_models; docs/comfyui.md")
    else:
        say(f'Next: videojam generate {folder} "A PROMPT" --out clips')
    typer.echo(folder)


def _fields(merge: MergeFlags, card: CardFlags) -> dict[str, Any]:
    return {
        **vars(merge),
        "prompts": tuple(card.prompt or ()),
        "seed": card.seed,
        "num_steps": card.steps,
        "license": card.license,
    }
