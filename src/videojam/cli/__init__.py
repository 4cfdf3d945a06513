"""The command line: `videojam <verb>`, each verb a thin call of one public function.

Everything heavy is imported inside the verbs, so that `videojam --help` answers at once.
"""

from __future__ import annotations

import sys
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from videojam.cli.app import page_app
from videojam.cli.bench import bench_app
from videojam.cli.common import (
    EXIT_USER_ERROR,
    exit_code_of,
    in_plain_words,
    print_error,
    say,
    stop_on_sigterm,
    stoppable,
)
from videojam.cli.data import data_app
from videojam.cli.demo import demo_app
from videojam.cli.export import export_app
from videojam.cli.generate import generate_app
from videojam.cli.judges import judges_app
from videojam.cli.models import models_app
from videojam.cli.probe import probe_app
from videojam.cli.study import study_app
from videojam.cli.train import train_app
from videojam.cli.vbench import vbench_app
from videojam.cli.verify import verify_app
from videojam.cli.world import world_app
from videojam.errors import VideoJamError
from videojam.out_of_memory import memory_explained


class Verbs(TyperGroup):
    """The verbs, which all say that they were stopped."""

    def invoke(self, ctx: Any) -> Any:
        """Run a verb; Ctrl-C and SIGTERM end it without a traceback."""
        try:
            with stoppable(""):
                return super().invoke(ctx)
        except typer.BadParameter as error:
            raise in_plain_words(error) from None


app = typer.Typer(
    name="videojam",
    cls=Verbs,
    help="A motion prior for pretrained text-to-video diffusion transformers (VideoJAM, arXiv 2502.02492).",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    add_completion=False,
    rich_markup_mode=None,  # its tables cut the names of flags at 80 columns
)
for verbs in (demo_app, page_app, models_app, train_app, generate_app, verify_app, export_app):
    app.add_typer(verbs)
app.add_typer(data_app, name="data")
app.add_typer(world_app, name="world")
app.add_typer(vbench_app, name="vbench")
app.add_typer(judges_app, name="judges")
app.add_typer(probe_app, name="probe")
app.add_typer(bench_app, name="bench")
app.add_typer(study_app, name="study")


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """A motion prior for pretrained text-to-video diffusion transformers (VideoJAM, arXiv 2502.02492)."""
    if version:
        from videojam import __version__

        typer.echo(__version__)
        raise typer.Exit


def run() -> None:
    """Run the command line; a `VideoJamError` is shown without a traceback and exits with 2.

    Ctrl-C exits with 130 and SIGTERM with 143, after a verb has saved and said what it has to.
    """
    stop_on_sigterm()
    # without the line of source that Python adds
    warnings.showwarning = lambda message, *rest, **more: say(f"warning: {message}")
    try:
        with memory_explained("this model and request", "Lower the size, the length or the number of clips."):
            app()
    except VideoJamError as error:
        print_error(error)
        sys.exit(EXIT_USER_ERROR)
    except KeyboardInterrupt as stopped:  # outside of a verb: during imports
        say("Stopped.")
        sys.exit(exit_code_of(stopped))
