"""`videojam app`: the page in a browser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from videojam.cli.common import say, start, stoppable
from videojam.cli.flags import LoadFlags, grouped
from videojam.out_of_memory import memory_explained

page_app = typer.Typer()


@dataclass(frozen=True)
class PageFlags:
    """Where the page is served."""

    host: Annotated[
        str,
        typer.Option(metavar="HOST", help="Address to bind; anything but loopback lets other machines in."),
    ] = "127.0.0.1"
    port: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=65535, help="TCP port. (default: the first free from 7860)"),
    ] = None
    share: Annotated[
        bool, typer.Option("--share", help="Also make a public link, by Gradio's service, to this machine.")
    ] = False
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in this machine's browser.")] = (
        False
    )


@page_app.command("app")
@grouped
def page(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL|NAME=MODEL]...",
            help="Models side by side: folders, hub ids or shipped ones. (default: those of the demo)",
            show_default=False,
        ),
    ] = None,
    *,
    where: PageFlags,
    load: LoadFlags,
) -> None:
    """Open a page in the browser: a prompt, and the clips of several models with their predicted motion.

    Without models it shows the shipped base, control and VideoJAM, which run on any CPU.
    """
    named = ", ".join(models or ["base, control and VideoJAM"])
    device = start(f"Page of {named}", load.device, load.dtype)
    from videojam.addresses import require_free
    from videojam.app.models import are_shipped, examples_for, load_models, parse_sources
    from videojam.app.serve import Listening, Shown, require_gradio, serve
    from videojam.evaluation.world_judge import what_moves

    sources = parse_sources(models or [])
    require_gradio()
    require_free(where.host, where.port)
    fix = "Open fewer models, or use --offload or --dtype bfloat16."
    with stoppable("The page is closed, and its clips are deleted."):
        with memory_explained("these models", fix):
            loaded = load_models(sources, lambda source: load.load(source, device))
        listening = Listening(where.host, where.port, where.share, where.open_browser)
        shown = Shown(examples_for(sources), what_moves if are_shipped(sources) else None)
        serve(loaded, shown, listening, say)
