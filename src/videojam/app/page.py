"""The page: fields on one side, clips on the other, and a gallery of what was made in this browser's session."""

from __future__ import annotations

import secrets
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from videojam.app.html import card_html, error_html, message_html, run_html, welcome_html
from videojam.app.models import Defaults, NamedModel, defaults_of
from videojam.app.run import (
    MAX_PROMPT,
    MAX_SEED,
    MAX_STEPS,
    Engine,
    Progress,
    Run,
    StoppedError,
    duration,
    read_fields,
)
from videojam.errors import VideoJamError

MAX_WAITING = 20
"""Presses of Generate that wait their turn; more are refused."""
GALLERY = 12
"""Runs that a session keeps; the oldest one's clips are deleted when another comes."""
PROGRESS = gr.Progress()
"""As a default, by which Gradio knows which argument is to report progress."""


@dataclass(frozen=True)
class Fields:
    """The components whose values make a clip, in the order of `read_fields`."""

    prompt: gr.Textbox
    seed: gr.Number
    w_text: gr.Slider
    w_motion: gr.Slider
    window: gr.Dropdown
    num_steps: gr.Slider
    num_frames: gr.Number
    height: gr.Number
    width: gr.Number

    @property
    def all(self) -> list[Any]:
        """Every component."""
        return list(vars(self).values())


class Stops:
    """What stops the run of each session."""

    def __init__(self) -> None:
        self._events: dict[str, threading.Event] = {}

    def begin(self, session: str) -> threading.Event:
        """Return the event of a new run."""
        event = self._events[session] = threading.Event()
        return event

    def end(self, session: str) -> None:
        """Stop the session's run, if there is one."""
        event = self._events.pop(session, None)
        if event is not None:
            event.set()


def build_page(engine: Engine, examples: Sequence[str]) -> gr.Blocks:
    """Return the page.

    Args:
        engine: Makes the clips.
        examples: Prompts to begin with.
    """
    models, stops = engine.models, Stops()

    def forget(runs: list[Run]) -> None:
        for run in runs:
            engine.clips.remove(run.files)

    with gr.Blocks(title="videojam", analytics_enabled=False, fill_width=True) as page:
        gr.HTML(f"<header class='vj-head'><h1>videojam</h1><p>{_lead(models)}</p></header>")
        runs = gr.State([], time_to_live=None, delete_callback=forget)
        with gr.Row(elem_id="vj-main"):
            with gr.Column(scale=1, min_width=320, elem_id="vj-fields"):
                fields, start, stop = _fields(defaults_of(models), models, examples)
            with gr.Column(scale=2, min_width=320, elem_id="vj-results"):
                status = gr.HTML(message_html(_ready(models)), elem_id="vj-status")
                shown = gr.HTML(welcome_html(models), elem_id="vj-shown")

        def generate(  # Gradio fills the first two by their type and default, and knows no keyword-only ones
            request: gr.Request, progress: Any = PROGRESS, so_far: Sequence[Run] = (), *values: Any
        ) -> Iterator[tuple[Any, ...]]:
            session = str(request.session_hash)
            event, last, text, began = stops.begin(session), None, "", time.monotonic()
            yield message_html("Starting…"), gr.skip(), gr.skip()

            def hear(step: Progress) -> None:
                progress(step.share, desc=str(step))

            try:
                asked = read_fields(**dict(zip(vars(fields), values, strict=True)))
                for last in engine.run(asked, hear, event):
                    waiting = len(last.made) < len(models)
                    yield message_html(""), run_html(last, models, waiting), gr.skip()
                text = message_html(f"Done in {duration(time.monotonic() - began)}.")
            except StoppedError:
                text = message_html("Stopped.")
            except VideoJamError as error:
                text = error_html(error)
            except Exception as error:
                traceback.print_exc()  # in the terminal of whoever runs the page
                text = error_html(_unexpected(error))
            finally:
                stops.end(session)
            if last is None:
                yield text, gr.skip(), gr.skip()
                return
            forget(list(so_far[GALLERY - 1 :]))
            yield text, run_html(last, models), [last, *so_far[: GALLERY - 1]]

        def cancel(request: gr.Request) -> str:
            stops.end(str(request.session_hash))
            return message_html("Stopped.")

        def leave(request: gr.Request) -> None:
            stops.end(str(request.session_hash))

        private: Any = {"api_visibility": "private"}
        making = start.click(
            generate,
            [runs, *fields.all],
            [status, shown, runs],
            show_progress="full",
            scroll_to_output=True,
            show_progress_on=[status],
            concurrency_limit=1,
            concurrency_id="models",
            trigger_mode="once",
            **private,
        )
        stop.click(cancel, None, [status], cancels=[making], concurrency_limit=None, **private)
        page.unload(leave)
        _gallery(runs, fields, shown, models)
    page.queue(max_size=MAX_WAITING)
    return page


def _ready(models: Sequence[NamedModel]) -> str:
    device = models[0].loaded.pipeline._execution_device.type
    where = "the CPU" if device == "cpu" else "the GPU" if device == "cuda" else device
    return f"Ready, on {where}."


def _lead(models: Sequence[NamedModel]) -> str:
    if len(models) == 1:
        return "Write what a clip shows, and see it."
    return "One prompt, the same noise, several models: see how each of them moves."


def _fields(
    defaults: Defaults, models: Sequence[NamedModel], examples: Sequence[str]
) -> tuple[Fields, gr.Button, gr.Button]:
    prompt = gr.Textbox(
        examples[0] if examples else "",
        label="Prompt",
        info="What the clip shows.",
        lines=3,
        max_length=MAX_PROMPT,
        elem_id="vj-prompt",
    )
    with gr.Row():
        start = gr.Button("Generate", variant="primary", elem_id="vj-generate")
        stop = gr.Button("Stop", elem_id="vj-stop")
    chosen = gr.Radio(list(examples), label="Examples", value=None, elem_id="vj-examples")
    chosen.input(
        lambda text: text,
        chosen,
        prompt,
        concurrency_limit=None,
        show_progress="hidden",
        api_visibility="private",
    )
    with gr.Row():
        seed = gr.Number(
            0, label="Seed", info="Of the noise.", elem_id="vj-seed", precision=0, minimum=0, maximum=MAX_SEED
        )
        other = gr.Button("Another seed", size="sm", elem_id="vj-another")
    other.click(lambda: secrets.randbelow(10**6), None, seed, concurrency_limit=None, show_progress="hidden",
                api_visibility="private")  # fmt: skip
    joint = [model.name for model in models if model.loaded.is_joint]
    with gr.Accordion("Guidance", open=True):
        w_text = gr.Slider(
            0,
            15,
            defaults.w_text,
            step=0.1,
            label="Text, w1",
            elem_id="vj-w-text",
            info="How strongly the prompt guides.",
        )
        w_motion = gr.Slider(
            0,
            10,
            0.0 if defaults.w_motion is None else defaults.w_motion,
            step=0.1,
            label="Motion, w2",
            elem_id="vj-w-motion",
            info=f"How strongly its own motion guides {', '.join(joint)}; 0 is off.",
            visible=bool(joint),
        )
        window = gr.Dropdown(
            list(dict.fromkeys(["half", "all", "t:0-0.4", defaults.window])),
            value=defaults.window,
            label="When motion guides",
            info="half: the first half of the steps. Or t:0-0.4, steps:0-10, share:0-0.5.",
            allow_custom_value=True,
            visible=bool(joint),
        )
    with gr.Accordion("Size and steps", open=False):
        num_steps = gr.Slider(1, MAX_STEPS, defaults.num_steps, step=1, label="Steps", elem_id="vj-steps")
        num_frames = gr.Number(
            defaults.num_frames, label="Frames", elem_id="vj-frames", precision=0, minimum=1
        )
        with gr.Row():
            height = gr.Number(defaults.height, label="Height, px", precision=0, minimum=1, min_width=120)
            width = gr.Number(
                defaults.width, label="Width, px", elem_id="vj-width", precision=0, minimum=1, min_width=120
            )
    return Fields(prompt, seed, w_text, w_motion, window, num_steps, num_frames, height, width), start, stop


def _gallery(runs: gr.State, fields: Fields, shown: gr.HTML, models: Sequence[NamedModel]) -> None:
    """Show the session's runs, each with its settings and a button that restores them."""

    @gr.render(inputs=[runs], show_progress="hidden")
    def cards(made: list[Run]) -> None:
        if not made:
            return
        gr.HTML("<h2 class='vj-gallery-head'>Made on this page</h2>")
        with gr.Row(elem_id="vj-gallery"):
            for number, run in enumerate(made):
                with gr.Column(min_width=280, elem_classes=["vj-item"]):
                    gr.HTML(card_html(run))
                    with gr.Row():
                        restore = gr.Button("Use these settings", size="sm", elem_id=f"vj-restore-{number}")
                        look = gr.Button("Show", size="sm", elem_id=f"vj-look-{number}")
                restore.click(
                    _values_of(run, fields), None, fields.all, concurrency_limit=None, show_progress="hidden",
                    api_visibility="private",
                )  # fmt: skip
                look.click(
                    lambda run=run: run_html(run, models), None, shown, concurrency_limit=None, show_progress="hidden",
                    api_visibility="private",
                )  # fmt: skip


def _values_of(run: Run, fields: Fields) -> Any:
    kept = run.asked.fields
    return lambda: [gr.skip() if kept[name] is None else kept[name] for name in vars(fields)]


def _unexpected(error: Exception) -> VideoJamError:
    return VideoJamError(
        expected="a clip",
        found=f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}",
        where="sampling",
        fix="Try other settings; the terminal in which the page runs has the details.",
    )
