"""What the verbs share: configs from flags, the first line, devices, stopping, and how errors are shown."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from videojam.errors import VideoJamError
from videojam.limits import MAX_SEED

if TYPE_CHECKING:
    import torch


MODEL_HELP = "Pipeline folder, hub id, or a shipped model: tiny:base, tiny:control, tiny:videojam."
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143
EXIT_TIME_IS_UP = 75
"""EX_TEMPFAIL of sysexits.h: what was done is saved, and the same command goes on."""
GPU_FILES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")
"""Where none of these is, Linux has no CUDA or ROCm device, which is known before torch is imported."""
FILE_SUFFIXES = (
    ".mp4", ".webm", ".gif", ".webp", ".png", ".html", ".json", ".jsonl", ".csv", ".yaml", ".safetensors", ".parquet",
    ".tar", ".zip",
)  # fmt: skip
"""Names that end so are those of files: a folder of that name would be a surprise."""

Config = TypeVar("Config")
Device = Annotated[
    str | None, typer.Option(metavar="DEVICE", help="As cpu or cuda:1. (default: cuda if there is one)")
]


class Terminated(KeyboardInterrupt):
    """SIGTERM, which stops a verb as Ctrl-C does."""


def exit_code_of(stopped: KeyboardInterrupt) -> int:
    """Return the exit code of a verb that was stopped: 130, of SIGTERM 143, where its time was over 75."""
    from videojam.training.stop import TimeIsUp

    if isinstance(stopped, TimeIsUp):
        return EXIT_TIME_IS_UP
    return EXIT_TERMINATED if isinstance(stopped, Terminated) else EXIT_INTERRUPTED


def build(kind: Callable[..., Config], where: str, **fields: object) -> Config:
    """Build a config from flags, showing a value that doesn't fit as every other error is shown."""
    from pydantic import ValidationError

    from videojam.misfits import explained

    try:
        return kind(**fields)
    except ValidationError as error:
        raise explained(error, None, where, "Correct the flag; --help describes it.") from None


def named_path(text: str | Path) -> Path:
    """Parse a path that a flag names, and refuse an empty one, which would be the current folder.

    Use as `Annotated[Path, typer.Option(parser=named_path, metavar="DIR")]`.
    """
    if not str(text).strip():  # a default comes as the path that it is
        raise typer.BadParameter("expected the name of a folder or file, found an empty one.")
    return Path(text)


def named_file(text: str | Path) -> Path:
    """Parse the path of a file to write, and refuse an empty one and that of a folder.

    Use as `Annotated[Path, typer.Option(parser=named_file, metavar="FILE")]`.
    """
    file = named_path(text)
    if file.is_dir():
        raise typer.BadParameter(f"expected the name of a file, found that of a folder, {file.name}.")
    return file


def named_folder(text: str | Path) -> Path:
    """Parse the path of a folder to write, and refuse an empty one and the name of a file, as clip.mp4.

    Use as `Annotated[Path, typer.Option(parser=named_folder, metavar="DIR")]`.
    """
    folder = named_path(text)
    if folder.name.lower().endswith(FILE_SUFFIXES) and not folder.is_dir():
        raise typer.BadParameter(f"expected the name of a folder, found that of a file, {folder.name}.")
    return folder


def seed_number(text: str | int) -> int:
    """Parse the seed that a flag gives, and refuse one that torch doesn't take.

    Use as `Annotated[int, typer.Option(parser=seed_number, metavar="N")]`.
    """
    number = int(text) if re.fullmatch(r"\d{1,19}", str(text).strip(), re.ASCII) else -1
    if not 0 <= number <= MAX_SEED:
        raise typer.BadParameter(f"expected a whole number from 0 to {MAX_SEED}, found {text}.")
    return number


def in_plain_words(error: typer.BadParameter) -> typer.BadParameter:
    """Return the error of a flag whose value typer refused, in the words in which configs refuse theirs."""
    from pydantic import ValidationError

    from videojam.misfits import wanted

    if isinstance(error.__cause__, ValidationError):
        first = error.__cause__.errors()[0]
        words = wanted(first)
        is_whole = first["type"] == "value_error"  # typer's own words, which name the value
        error.message = words if is_whole else f"expected {words}, found {first['input']}."
    return error


# --- what runs where ---


def start(doing: str, device: str | None, dtype: str | None = None) -> str:
    """Say within a second what runs on which device in which type, and return the device.

    Without a flag the device is the GPU; where there is none, that is said, and the CPU is taken.

    Args:
        doing: What is done with which model, as "generate with tiny:videojam".
        device: The `--device` flag.
        dtype: The `--dtype` flag.
    """
    no_gpu = sys.platform == "linux" and not any(Path(file).exists() for file in GPU_FILES)
    if device is None and not no_gpu:
        say(f"{doing}: looking for a GPU")  # importing torch takes seconds
    found = "cpu" if device is None and no_gpu else device_of(device)
    kind = dtype or ("float32" if found == "cpu" else "bfloat16")
    missing = "no GPU found: running " if device is None and found == "cpu" else ""
    say(f"{doing}: {missing}on {'the CPU' if found == 'cpu' else found} in {kind}")
    return found


def device_of(name: str | None) -> str:
    """Return the device of a `--device` flag: the GPU where there is one, if not given.

    Raises:
        VideoJamError: torch can't use it here.
    """
    if name == "cpu":
        return name
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).cpu()  # no number comes back from the meta device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise VideoJamError(
            expected="a device that torch can use here",
            found=str(error).splitlines()[0],
            where=f"--device {name}",
            fix="Choose cpu, or leave --device out.",
        ) from None
    return name


def torch_dtype_of(name: str | None) -> torch.dtype | None:
    """Return the torch dtype of a `--dtype` flag."""
    import torch

    return None if name is None else getattr(torch, name)


# --- stopping ---


@contextmanager
def stoppable(how_to_go_on: str | Callable[[], str]) -> Iterator[None]:
    """Say where a verb stands and how to go on when Ctrl-C or SIGTERM stops it, or its time is over.

    Args:
        how_to_go_on: Sentences, or a function that returns them when the verb has been stopped.
    """
    try:
        yield
    except KeyboardInterrupt as stopped:
        how = how_to_go_on if isinstance(how_to_go_on, str) else how_to_go_on()
        say(f"Stopped. {how}".rstrip())
        raise typer.Exit(exit_code_of(stopped)) from None


def stop_on_sigterm() -> None:
    """Let SIGTERM stop the process as Ctrl-C does, so that what is open is closed and saved."""

    def terminate(number: int, frame: object) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)


# --- what is shown ---


def say(line: str) -> None:
    """Print a line for people on stderr; stdout is for results."""
    typer.echo(line, err=True)


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
