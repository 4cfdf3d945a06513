"""`videojam generate` and `videojam verify`: clips of prompts, and whether a model is the one that was saved."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from videojam.cli.common import MODEL_HELP, device_of, guidance_of, say, torch_dtype_of
from videojam.errors import VideoJamError

generate_app = typer.Typer()


@generate_app.command()
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


@generate_app.command()
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
