"""Running the page."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files

from torch import Tensor

from videojam.addresses import LOOPBACK, not_free
from videojam.app.clips import Clips, temporary_clips
from videojam.app.models import NamedModel
from videojam.optional import from_extra

NOT_ASKED = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
"""Gradio reports its use and looks for newer versions unless its settings say not to."""


@dataclass(frozen=True)
class Shown:
    """What the page shows beside the clips of its models.

    Attributes:
        examples: Prompts to begin with.
        explain: Draws a clip of a prompt so that what moves is seen; None where it is seen anyway.
    """

    examples: Sequence[str]
    explain: Callable[[Tensor, str], Tensor] | None = None


@dataclass(frozen=True)
class Listening:
    """Where the page is served.

    Attributes:
        host: Address to bind; loopback is reached from this machine only.
        port: Of TCP; None is the first that is free from 7860 on.
        share: Whether Gradio's service makes a public link to it.
        open_browser: Whether to open the page in the browser of this machine.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    share: bool = False
    open_browser: bool = False


def require_gradio() -> None:
    """Refuse to go on without the extra of the page.

    Raises:
        VideoJamError: it is not installed.
    """
    os.environ.update(NOT_ASKED)
    with from_extra("gradio, which serves the page", "videojam[app]", "videojam app"):
        import gradio  # noqa: F401


def serve(models: Sequence[NamedModel], shown: Shown, where: Listening, say: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C or SIGTERM; its clips are deleted then.

    Args:
        models: Loaded models, in the order of the page.
        shown: What the page shows beside them.
        where: Where.
        say: Called with lines for the one who runs it.

    Raises:
        VideoJamError: Gradio is missing, or the port is taken.
    """
    require_gradio()
    with temporary_clips() as clips:
        os.environ["GRADIO_TEMP_DIR"] = str(clips.folder / "gradio")
        launched = _launch(models, shown, where, clips)
        try:
            say(f"Open {launched[1]} in a browser. Ctrl-C stops the page and deletes its clips.")
            if launched[2]:
                say(f"Anyone with this link can use it, for a week at most: {launched[2]}")
            if where.host not in LOOPBACK:
                say("Other machines can reach it, without a password and without encryption.")
            while True:
                time.sleep(3600)
        finally:
            launched[0]()


def _launch(
    models: Sequence[NamedModel], shown: Shown, where: Listening, clips: Clips
) -> tuple[Callable[[], object], str, str | None]:
    """Start the server; return what closes it, its address, and the public link."""
    import gradio as gr
    from starlette.middleware import Middleware

    from videojam.app.guard import Guard
    from videojam.app.html import arm_css
    from videojam.app.page import build_page
    from videojam.app.run import Engine

    page = build_page(Engine(models, clips, shown.explain), shown.examples)
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    web = files("videojam.app.web")
    try:
        _, local, public = page.launch(
            share=where.share,
            server_name=where.host,
            server_port=where.port,
            inbrowser=where.open_browser,
            prevent_thread_lock=True,
            quiet=True,
            ssr_mode=False,
            enable_monitoring=False,
            footer_links=[],
            max_file_size=1,
            app_kwargs={"middleware": [Middleware(Guard, clips=clips)], "docs_url": None, "redoc_url": None},
            theme=gr.themes.Default(**fonts),  # type: ignore[arg-type]
            css=arm_css() + (web / "app.css").read_text(encoding="utf-8"),
            head=f"<script>{(web / 'app.js').read_text(encoding='utf-8')}</script>",
        )
    except OSError as error:
        raise not_free(where.host, where.port, error) from None
    return page.close, local, public
