"""The demo's page: one HTML file that needs nothing else, no network and no neighbour files."""

from __future__ import annotations

import base64
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from videojam.demo.result import ARMS, ROWS, WORLD, DemoClip, DemoResult, write_text
from videojam.demo.table import difference_sentence
from videojam.world import KINDS


def write_page(result: DemoResult) -> Path:
    """Write the page with every clip inside it.

    Raises:
        VideoJamError: no room or no permission.
    """
    return write_text(result.page, render_page(result))


def render_page(result: DemoResult) -> str:
    """Return the page as HTML; clips are read from the result's folder."""
    folder = files("videojam.demo")
    parts = {name: (folder / f"page.{name}").read_text(encoding="utf-8") for name in ("html", "css", "js")}
    style = result.provenance["arms"].get("videojam", {}).get("motion_style")
    num_prompts = len(result.of(WORLD))
    return Template(parts["html"]).substitute(
        css=parts["css"],
        js=parts["js"],
        fps=f"{result.fps:g}",
        num_frames=result.num_frames,
        last_frame=result.num_frames - 1,
        blend="multiply" if style == "saturation" else "screen",  # what is static must stay unchanged
        num_prompts=num_prompts,
        difference=escape(difference_sentence(result)),
        chart="\n".join(_chart_row(result, arm) for arm in ROWS),
        kind_heads="".join(f'<th scope="col">{kind}</th>' for kind in KINDS),
        kind_rows="\n".join(_kind_row(result, arm) for arm in ROWS),
        kind_options="".join(f'<option value="{kind}">{kind}</option>' for kind in KINDS),
        cards="\n".join(_card(result, index) for index in range(num_prompts)),
        facts="\n".join(_facts(result.provenance)),
    )


def _chart_row(result: DemoResult, arm: str) -> str:
    coherent = result.tally(arm).coherent
    low, high, mean = (100 * value for value in (coherent.low, coherent.high, coherent.mean))
    return (
        f'    <div class="row {arm}" role="row"><span class="name" role="rowheader">{ROWS[arm]}</span>'
        f'<span class="bar" role="presentation"><i style="left:{low:.1f}%;right:{100 - high:.1f}%"></i>'
        f'<b style="left:{mean:.1f}%"></b></span>'
        f'<span class="value" role="cell">{round(coherent.mean * coherent.n)} of {coherent.n} '
        f"<small>({low:.0f}–{high:.0f} %)</small></span></div>"
    )


def _kind_row(result: DemoResult, arm: str) -> str:
    tally = result.tally(arm)
    cells = ["{}/{}".format(*tally.kinds.get(kind, (0, 0))) for kind in KINDS]
    totals = (f"{round(share.mean * share.n)}/{share.n}" for share in (tally.coherent, tally.follows_prompt))
    return (
        f'      <tr><th scope="row">{ROWS[arm]}</th>'
        + "".join(f"<td>{cell}</td>" for cell in (*cells, *totals))
        + "</tr>"
    )


def _card(result: DemoResult, index: int) -> str:
    clips = {arm: result.of(arm)[index] for arm in ROWS}
    truth = clips[WORLD]
    panels = []
    for arm in ARMS:
        panels.append(_panel(result.out, clips[arm]))
        motion = clips[arm].motion
        if motion is not None:
            panels.append(_motion_panel(result.out / motion, clips[arm]))
    panels.append(_panel(result.out, truth))
    return (
        f'  <article class="card" data-kind="{truth.kind}"><h3>{escape(truth.prompt)}'
        f'<span>{truth.kind}, seed {truth.seed}</span></h3><div class="panels">\n'
        + "\n".join(panels)
        + "\n  </div></article>"
    )


def _panel(out: Path, clip: DemoClip) -> str:
    verdict = (
        '<span class="yes">✓ coherent</span>' if clip.coherent else '<span class="no">✗ not coherent</span>'
    )
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in clip.reasons)
    label = f"{ROWS[clip.arm]}: {clip.prompt}"
    return (
        f'<figure class="{clip.arm}"><div class="stage">{_video(out / clip.video, label)}</div>'
        f"<figcaption><strong>{ROWS[clip.arm]}</strong>{verdict}"
        + (f"<ul>{reasons}</ul>" if reasons else "")
        + "</figcaption></figure>"
    )


def _motion_panel(path: Path, clip: DemoClip) -> str:
    name = f"{ROWS[clip.arm]}’s motion"
    video = _video(path, f"{name}: {clip.prompt}")
    return (
        f'<figure class="motion"><div class="stage">{video}</div>'
        f"<figcaption><strong>{name}</strong>predicted with the clip</figcaption></figure>"
    )


def _video(path: Path, label: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return (
        f'<video muted playsinline preload="auto" aria-label="{escape(label)}" '
        f'src="data:video/mp4;base64,{data}"></video>'
    )


def _facts(provenance: dict[str, Any]) -> list[str]:
    versions = ", ".join(f"{name} {number}" for name, number in provenance["versions"].items())
    first, last = provenance["seeds"]
    rows = [
        ("Versions", f"{versions}, world {provenance['world_version']}"),
        ("Seeds", f"{first}…{last}, of the scene and of the noise alike"),
    ]
    for arm, facts in provenance["arms"].items():
        rows.append((ARMS[arm], _guidance_words(facts)))
    threads = provenance["threads"]
    rows.append(
        ("Time", f"{provenance['seconds']:.0f} s in all, {threads} thread{'s' if threads > 1 else ''}")
    )
    return [
        f'      <tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>' for name, text in rows
    ]


def _guidance_words(facts: dict[str, Any]) -> str:
    guidance = facts["guidance"]
    name = {"inner": "Inner-Guidance", "cfg": "text guidance (CFG)"}.get(guidance["mode"], guidance["mode"])
    words = [facts["model"], f"{name}, w1 = {guidance['w_text']:g}"]
    if guidance["mode"] == "inner":
        words.append(f"w2 = {guidance['w_motion']:g} on {guidance['motion_on']}")
    if facts["window"]:
        words.append(facts["window"])
    if guidance["drop_motion"]:
        words.append("motion input zero")
    words.append(f"{facts['num_steps']} steps")
    if facts["num_train_steps"]:
        words.append(f"{facts['num_train_steps']} training steps")
    return "; ".join(words)
