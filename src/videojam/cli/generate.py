"""`videojam generate`: clips of prompts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from videojam.cli.common import (
    MODEL_HELP,
    named_folder,
    say,
    seed_number,
    start,
    stoppable,
)
from videojam.cli.flags import LoadFlags, SampleFlags, grouped
from videojam.errors import VideoJamError
from videojam.out_of_memory import memory_explained
from videojam.reading import read_text

if TYPE_CHECKING:
    from videojam.cli.progress import ProgressDisplay

generate_app = typer.Typer()


@dataclass(frozen=True)
class ClipFlags:
    """Flags of the clips beside how they are sampled."""

    seed: Annotated[
        int,
        typer.Option(
            parser=seed_number, metavar="N", help="Seed of the first clip; those of the others follow."
        ),
    ] = 0
    image: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="First frame, for a base that is or can be image-to-video. (default: no image)",
        ),
    ] = None
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Clips sampled together.")] = 1
    side_by_side: Annotated[
        bool, typer.Option("--side-by-side", help="Also write video and motion in one file.")
    ] = False


@generate_app.command()
@grouped
def generate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)],
    prompts: Annotated[
        list[str],
        typer.Argument(metavar="PROMPT...", help="One or more prompts; @FILE reads one from each line."),
    ],
    out: Annotated[
        Path,
        typer.Option(
            parser=named_folder, metavar="DIR", help="Folder for clips, motion, flow and manifest.json."
        ),
    ],
    clips: ClipFlags,
    settings: SampleFlags,
    load: LoadFlags,
) -> None:
    """Generate clips of prompts: mp4, the predicted motion as mp4 and as flow, and a manifest.

    The same command goes on with an interrupted generation.
    """
    texts = _prompts(prompts)
    device = start(f"Generating {_clips(len(texts))} with {model}", load.device, load.dtype)
    from videojam.cli.progress import ProgressDisplay
    from videojam.sampling.generate import generate as generate_files
    from videojam.sampling.settings import guidance_of_folder, read_settings

    asked = read_settings(settings.content(), "the flags")
    first_frame = None if clips.image is None else _open_image(clips.image)
    fix = (
        "Lower --batch-size, --frames, --height or --width; on a GPU also try --offload or --dtype bfloat16."
    )
    follow = _Follow(len(texts))
    with (
        stoppable(follow.how_to_go_on),
        memory_explained(f"{model} and {_clips(clips.batch_size)} at once", fix),
    ):
        loaded = load.load(model, device)
        own = guidance_of_folder(loaded, asked)
        if own is not None:
            say(own)
        with ProgressDisplay("generating", "steps") as follow.progress:
            manifest = generate_files(
                loaded,
                texts,
                out,
                asked,
                seed=clips.seed,
                image=first_frame,
                batch_size=clips.batch_size,
                side_by_side=clips.side_by_side,
                listener=follow,
            )
    _say_end(manifest, follow.num_made)


class _Follow:
    """Shows steps and clips, and knows what is made when Ctrl-C comes."""

    progress: ProgressDisplay

    def __init__(self, num_clips: int) -> None:
        self.num_clips, self.num_made = num_clips, 0

    def on_step(self, done: int, total: int) -> None:
        """Show a step."""
        self.progress(done, total)

    def on_clip(self, path: Path, clip: dict[str, Any]) -> None:
        """Show a clip that is made."""
        self.num_made += 1
        say(f"{path}  seed {clip['seed']}  {clip['prompt']}")

    def how_to_go_on(self) -> str:
        """Say what is made, and how to go on."""
        if not self.num_made:
            return "No clip was finished; the same command begins again."
        are = "is" if self.num_made == 1 else "are"
        return f"{_clips(self.num_made)} of this run {are} kept; the same command makes the others."


def _prompts(words: list[str]) -> list[str]:
    """Return the prompts; `@FILE` stands for the lines of a text file."""
    texts: list[str] = []
    for word in words:
        if not word.startswith("@"):
            texts.append(word)
            continue
        fix = "Correct the name; a space before the @ makes it a prompt."
        what = "a text file (UTF-8) with one prompt on each line, as the prompt starts with @"
        lines = read_text(Path(word[1:]), what, fix).splitlines()
        texts += [line.strip() for line in lines if line.strip()]
    if not texts or not all(text.strip() for text in texts):
        raise VideoJamError(
            expected="prompts with words in them",
            found="an empty prompt" if texts else "no prompt",
            where=" ".join(words) or "PROMPT",
            fix="Write what the clip shows.",
        )
    return texts


def _open_image(path: Path) -> Any:
    from PIL import Image, UnidentifiedImageError

    from videojam.misfits import reason

    try:
        image = Image.open(path)
        image.load()
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise VideoJamError(
            expected="an image file",
            found=reason(error) if getattr(error, "strerror", None) else "not a readable image",
            where=str(path),
            fix="Check the path; PNG and JPEG work.",
        ) from None
    return image


def _clips(num: int) -> str:
    return f"{num} clip" if num == 1 else f"{num} clips"


def _say_end(path: Path, num_made: int) -> None:
    """Say what was made, where, how it was guided, and what to do next."""
    import json

    manifest = json.loads(path.read_text(encoding="utf-8"))
    guidance, window, size = manifest["guidance"], manifest.get("motion_window"), manifest["settings"]
    clips = manifest["clips"]
    kept = len(clips) - num_made
    were = f", {kept} {'was' if kept == 1 else 'were'} there already" if kept else ""
    say(f"{_clips(num_made)} made{were}, in {path.parent}")
    words = [f"guidance {guidance['mode']}, {manifest['num_steps']} steps"]
    words += [window["text"]] if window else []
    words.append(
        f"{size['num_frames']} frames of {size['width']}×{size['height']} px at {manifest['fps']:g} fps"
    )
    say("; ".join(words))
    say(f"Next: videojam bench import {path.parent} --name NAME --out BENCH, to measure them beside others")
    typer.echo(str(path))
