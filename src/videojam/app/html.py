"""The parts of the page that are not Gradio's: clips side by side with one player, and messages."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from videojam.app.models import NamedModel
from videojam.app.run import MadeClip, Run
from videojam.bench.report.legend import wheel
from videojam.errors import VideoJamError
from videojam.evaluation.arm_colours import LIGHT

DRAWN = {
    "beside": "motion beside the clip",
    "over": "motion over the clip",
    "arrows": "arrows",
    "trails": "trails of points",
    "off": "no motion",
}
"""Ways to look at the predicted motion."""
LIT = (
    '<p class="vj-words">These small models know one world: a square moves over a texture that stands still and hides '
    "it. In the second picture of each clip the texture is dimmed and what changes is lit. The outline is the square "
    "of the nearest motion that this world’s law allows: green where it explains the frame, red where nothing does.</p>"
)
"""Explains the clips of the shipped models."""
SMALL_PX = 200
"""Clips of a smaller height are enlarged without blur."""


def run_html(run: Run, models: Sequence[NamedModel], waiting: bool = False) -> str:
    """Return the clips of a run side by side, in step, with the player that all of them share.

    Args:
        run: What was made.
        models: All of the page, for their colours and the places of clips that are not made yet.
        waiting: Whether the others are still to come.
    """
    made = {one.model: one for one in run.made}
    figures = []
    for place, model in enumerate(models):
        if model.name in made:
            figures.append(_figures(made[model.name], place, model))
        elif waiting:
            figures.append(_figure(model.name, place, '<div class="vj-wait">…</div>', "to come"))
    has_motion = any(one.motion for one in run.made)
    below = legend(models) if has_motion else ""
    below += LIT if any(one.explained for one in run.made) else ""
    return (
        f'<div class="vj-run" data-motion="beside"><p class="vj-prompt">{escape(run.asked.prompt)}</p>'
        f'{_controls(has_motion)}<div class="vj-panels">{"".join(figures)}</div>'
        f'<p class="vj-words">{escape(run.words)}</p>{below}</div>'
    )


def card_html(run: Run) -> str:
    """Return a run as a small card of the gallery: the clips, the prompt, the settings."""
    videos = "".join(
        f'<figure><div class="vj-stage">{_video(one.clip, one, "clip", one.model)}</div>'
        f"<figcaption>{escape(one.model)}</figcaption></figure>"
        for one in run.made
    )
    return (
        f'<div class="vj-run vj-card"><div class="vj-panels">{videos}</div>'
        f'<p class="vj-prompt">{escape(run.asked.prompt)}</p><p class="vj-words">{escape(run.words)}</p></div>'
    )


def legend(models: Sequence[NamedModel]) -> str:
    """Return the colour wheel with its words, drawn by the motion code of the first model that has one."""
    for model in models:
        if model.loaded.record is not None:
            code = model.loaded.record.motion
            return (
                f'<p class="vj-legend"><img alt="Colour wheel of directions" src="{wheel(code)}">'
                "<span>Predicted motion: the colour is its direction, as on the wheel; "
                f"the {code.speed_is} is its speed.</span></p>"
            )
    return ""


def welcome_html(models: Sequence[NamedModel]) -> str:
    """Return what stands where the clips will be."""
    names = ", ".join(f"<b>{escape(model.name)}</b>" for model in models)
    joint = next((escape(model.name) for model in models if model.loaded.is_joint), None)
    motion = (
        f" {joint} also predicts how everything moves, and lets that motion guide its clip; you will see both."
        if joint
        else ""
    )
    same = " from the same noise, so what differs is the model" if len(models) > 1 else ""
    return (
        f'<div class="vj-welcome"><p>Press <b>Generate</b>: {names} will make a clip of your prompt{same}.'
        f"{motion}</p></div>"
    )


def message_html(text: str) -> str:
    """Return a line about how far a run is."""
    return f'<p class="vj-message">{escape(text)}</p>'


def error_html(error: VideoJamError) -> str:
    """Return what was expected, what was found, and what to do."""
    rows = (
        ("Expected", error.expected),
        ("Found", error.found),
        ("Where", error.where),
        ("What to do", error.fix),
    )
    lines = "".join(f"<dt>{name}</dt><dd>{escape(str(text))}</dd>" for name, text in rows)
    return f'<div class="vj-error" role="alert"><b>No clip was made.</b><dl>{lines}</dl></div>'


def arm_css() -> str:
    """Return the colours of the models, on a light and on a dark page."""
    from videojam.evaluation.arm_colours import DARK

    light, dark = (
        " ".join(f"--vj-c{i}: {colour};" for i, colour in enumerate(list_)) for list_ in (LIGHT, DARK)
    )
    return f":root {{ {light} }}\n.dark {{ {dark} }}"


def _figures(made: MadeClip, place: int, model: NamedModel) -> str:
    record = model.loaded.record
    blend = "screen" if record is None else record.motion.blend
    over = _video(dict(made.motion)["colours"], made, "over", f"{made.model}’s motion") if made.motion else ""
    clip = f'<div class="vj-stage" style="--vj-blend:{blend}">{_video(made.clip, made, "clip", made.model)}{over}</div>'
    if made.explained:
        lit = _video(made.explained, made, "lit", f"what moves in {made.model}’s clip")
        clip += f'<div class="vj-stage vj-lit">{lit}</div>'
    note = f'<p class="vj-note">{escape(made.note)}</p>' if made.note else ""
    figures = _figure(made.model, place, clip, f"{_save(made.clip, made.model)}{note}")
    if made.motion:
        drawn = "".join(
            _video(file, made, how, f"{made.model}’s motion as {how}") for how, file in made.motion
        )
        words = "predicted with the clip"
        figures += _figure(
            f"{made.model}’s motion", place, f'<div class="vj-stage">{drawn}</div>', words, "vj-motion"
        )
    return figures


def _figure(name: str, place: int, content: str, words: str, kind: str = "") -> str:
    colour = f"var(--vj-c{place % len(LIGHT)})"
    return (
        f'<figure class="{kind}" style="--vj-arm:{colour}">{content}'
        f"<figcaption><b>{escape(name)}</b> <span>{words}</span></figcaption></figure>"
    )


def _video(file: str, made: MadeClip, kind: str, label: str) -> str:
    num_frames, height, width = made.size
    small = " vj-small" if height < SMALL_PX else ""
    return (
        f'<video class="{kind}{small}" muted playsinline preload="auto" aria-label="{escape(label)}" '
        f'data-fps="{made.fps:g}" data-frames="{num_frames}" style="aspect-ratio:{width}/{height}" '
        f'src="clips/{file}"></video>'
    )


def _save(file: str, model: str) -> str:
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in model)
    return f'<a href="clips/{file}" download="{escape(name)}.mp4">Save</a>'


def _controls(has_motion: bool) -> str:
    options = "".join(f'<option value="{value}">{words}</option>' for value, words in DRAWN.items())
    motion = f'<select class="vj-how" aria-label="Predicted motion">{options}</select>' if has_motion else ""
    return (
        '<div class="vj-controls"><button type="button" class="vj-play">Pause</button>'
        '<input class="vj-scrub" type="range" min="0" max="1000" value="0" aria-label="Time in the clip">'
        '<select class="vj-speed" aria-label="Speed"><option value="0.25">¼ speed</option>'
        '<option value="0.5">½ speed</option><option value="1" selected>full speed</option></select>'
        f"{motion}</div>"
    )
