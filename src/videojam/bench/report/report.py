"""The report: `results.json`, and one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from videojam.bench.folder import Bench, write_json, write_text
from videojam.bench.manifest import Manifest
from videojam.bench.report.clips import clip_cards
from videojam.bench.report.finding import find
from videojam.bench.report.human import human_section
from videojam.bench.report.legend import legends
from videojam.bench.report.probes import probe_section
from videojam.bench.report.results import Results, build_results, tables_beside
from videojam.bench.report.shell import whole_page
from videojam.bench.report.tables import (
    category_tables,
    colour_of,
    difference_plots,
    headline_table,
    mean_plots,
    problem_list,
    shown_first,
)
from videojam.guidance.rules import rule_of

NUM_SHOWN = 12


def write_report(
    bench: Bench, arms: Sequence[str] | None = None, against: str | None = None, num_shown: int = NUM_SHOWN
) -> Results:
    """Compute the results and write `results.json` and `index.html`.

    Args:
        bench: The bench.
        arms: Which, in the order of the report; all if not given.
        against: The arm that the others are compared with; the first if not given.
        num_shown: Prompts whose clips are in the page.

    Raises:
        VideoJamError: an arm that isn't there; no room or permission.
    """
    results = build_results(bench, arms, against)
    write_json(bench.folder / "results.json", results.to_json())
    write_text(page_of(bench.folder), render_page(bench, results, num_shown))
    return results


def page_of(folder: Path) -> Path:
    """Return where the page of a bench's folder is."""
    return folder / "index.html"


def render_page(bench: Bench, results: Results, num_shown: int = NUM_SHOWN) -> str:
    """Return the page as HTML, with the clips inside it."""
    first = shown_first(results)
    rest = [measure for measure in results.measures.values() if measure not in first]
    differences = difference_plots(results, first)
    title = bench.file.title or f"{results.suite['name']}: {', '.join(results.arms) or 'no arms'}"
    content = dict(
        head=escape(bench.file.title or f"Bench: {results.suite['name']}"),
        finding=_finding(results),
        chart=mean_plots(results, first[:1]),
        about=f'<p class="lede">{escape(bench.file.about)}</p>' if bench.file.about else "",
        lede=_lede(results),
        legend=legends(results),
        headline=headline_table(results, first) + _paper_note(results) + _judges_notes(results),
        means=mean_plots(results, first[1:]) or '<p class="note">No other measure of the first table.</p>',
        differences=differences or '<p class="note">Only one arm: nothing to compare.</p>',
        against=escape(results.against or ""),
        categories=category_tables(results, first) or '<p class="note">The suite has no categories.</p>',
        human=human_section(results, first, tables_beside(results.suite["name"], results.arms)),
        probes=probe_section(results.probes, results.arms),
        rest=headline_table(results, rest, with_paper=False) if rest else '<p class="note">None.</p>',
        kind_options="".join(
            f'<option value="{escape(name)}">{escape(name)}</option>' for name in results.categories
        ),
        arm_boxes="".join(
            f'<label class="pick"><input type="checkbox" class="arm" value="{escape(arm)}" checked>'
            f'<i class="dot {colour_of(results, arm)}"></i>{escape(arm)}</label>'
            for arm in results.arms
        ),
        cards=clip_cards(bench, results, first, num_shown),
        problems=problem_list(results),
        facts="\n".join(_facts(results)),
    )
    return whole_page("page.html", escape(title), content)


def _finding(results: Results) -> str:
    finding = find(results)
    if not finding.first:
        return (
            '<p class="finding">Nothing to compare yet: the bench has one arm, or none that was scored.</p>'
        )
    others = "".join(f"<li>{escape(text)}</li>" for text in finding.others)
    return (
        f'<p class="finding">{escape(finding.first)}</p>'
        + (f'<ul class="others">{others}</ul>' if others else "")
        + (f'<p class="note">{escape(finding.caution)}</p>' if finding.caution else "")
    )


def _lede(results: Results) -> str:
    suite, num = results.suite, len(results.arms)
    clips = f"{suite['num_prompts']} prompts" + (
        f" × {results.num_seeds} seeds" if results.num_seeds > 1 else ""
    )
    text = f"{num} arm{'s' if num != 1 else ''} on {clips} of the suite {escape(suite['name'])}"
    text += f" (version {suite['version']})" if suite.get("version") else ""
    left_out = sum(problem.excluded for problem in results.problems)
    if left_out:
        text += (
            f'. <b class="no">{left_out} item{"s" if left_out > 1 else ""} could not be taken or scored</b> and '
            'can be in no figure; <a href="#problems">each is listed</a>'
        )
    return text + "."


def _paper_note(results: Results) -> str:
    if not results.paper:
        return ""
    return (
        '<p class="note">Grey: what the paper prints (arXiv 2502.02492), of its own models and prompts, without '
        "intervals. It stands beside these rows for orientation, and no figure here is compared with it.</p>"
    )


def _judges_notes(results: Results) -> str:
    """What the judges say of their own figures."""
    return "".join(
        f'<p class="note"><b>{escape(judge)}</b>: {escape(note)}</p>' for judge, note in results.notes.items()
    )


def _facts(results: Results) -> list[str]:
    versions = ", ".join(f"{name} {number}" for name, number in results.versions.items())
    suite = results.suite
    rows = [
        ("Suite", f"{suite['name']}, sha256 of its prompts {suite['sha256'][:16]}…. {suite['note']}"),
        ("Judges", ", ".join(dict.fromkeys(m.judge for m in results.measures.values())) or "none"),
        ("Scored with", f"{versions}, {results.made_at}"),
    ]
    rows += [(arm, _arm_words(manifest)) for arm, manifest in results.manifests.items()]
    return [
        f'      <tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>' for name, text in rows
    ]


def _arm_words(manifest: Manifest) -> str:
    facts, words = manifest.facts, [f"{manifest.kind}: {manifest.asked.get('source', '')}"]
    guidance = facts.get("guidance")
    if guidance:
        words.append(f"guidance {guidance['mode']}, w1 = {guidance['w_text']:g}")
        if rule_of(guidance["mode"]).branch is not None:
            words.append(f"w2 = {guidance['w_motion']:g} on {guidance['motion_on']}")
        if guidance["drop_motion"]:
            words.append("motion input zero")
    if facts.get("guidance_scale") is not None:
        words.append(f"guidance scale {facts['guidance_scale']:g}")
    if facts.get("window"):
        words.append(facts["window"])
    if facts.get("num_steps"):
        words.append(f"{facts['num_steps']} steps")
    if facts.get("num_train_steps"):
        words.append(f"{facts['num_train_steps']} training steps")
    words.append(_size_words(manifest))
    if manifest.noise:
        words.append(f"noise: {manifest.noise}")
    if manifest.kind != "import":
        words.append(f"files {manifest.fingerprint}")
    words += [
        "made with " + ", ".join(f"{name} {number}" for name, number in versions.items())
        for versions in manifest.versions
    ]
    return "; ".join(words)


def _size_words(manifest: Manifest) -> str:
    """Return how long, large and fast an arm's clips are."""
    if not (manifest.height and manifest.fps):
        return "no clip yet"
    length = f"{manifest.num_frames} frames" if manifest.num_frames else "clips of any length"
    return f"{length} of {manifest.width}×{manifest.height} px at {manifest.fps:g} fps"
