"""The report: its numbers, what it says of problems, and the page in a real browser."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from videojam.bench.folder import Bench
from videojam.bench.make.arms import parse_arm
from videojam.bench.report.report import write_report
from videojam.bench.run import run_bench
from videojam.bench.work import Plan
from videojam.data.config import WorldSource
from videojam.errors import VideoJamError
from videojam.evaluation.arm_colours import LIGHT
from videojam.evaluation.intervals import share
from videojam.evaluation.judges import build_judges
from videojam.evaluation.probes.forward import ForwardConfig
from videojam.evaluation.probes.permutation import permutation_probe
from videojam.models.load import load_model
from videojam.world import WorldConfig

_path = Path(__file__).parent / "browser.py"
_spec = importlib.util.spec_from_file_location("bench_browser", _path)
browser = importlib.util.module_from_spec(_spec)
sys.modules["bench_browser"] = browser
_spec.loader.exec_module(browser)

needs_browser = pytest.mark.skipif(browser.CHROMIUM is None, reason="chromium is not installed")
ALL_READY = "[...document.querySelectorAll('video')].every(video => video.readyState >= 2)"
SIZE = "steps=1,frames=9,height=32,width=32,fps=12"
NUM_VIDEOS = 4 * 4 - 1 + 11 + 2 * 4
"""Of four prompts: base, joint, its motion and truth, without one clip of base; 11 clips as the judge sees them."""


@pytest.fixture(scope="module")
def finished(four_prompts, tiny_wan, joint_wan, tmp_path_factory):
    """Base, joint and truth, of other lengths and rates; one clip of the base is taken away afterwards."""
    out = tmp_path_factory.mktemp("report") / "bench"
    arms = [
        parse_arm(f"base={tiny_wan},{SIZE}"),
        parse_arm(f"joint={joint_wan},{SIZE}"),
        parse_arm("truth=world:truth,frames=25,fps=24"),
    ]
    run_bench(out, Plan(four_prompts, arms), build_judges(["world"]))
    bench = Bench.open(out)
    bench.clip("base", bench.items[3]).unlink()
    clips, few = (
        WorldSource(num_clips=2, world=WorldConfig(num_frames=9, pixel_px=4)),
        ForwardConfig(times=(0.3, 0.8)),
    )
    for name, model in (("base", tiny_wan), ("joint", joint_wan)):
        permutation_probe(load_model(model), clips, bench.folder / "probes" / f"permutation-{name}.json", few)
    (bench.folder / "probes" / "notes.json").write_text("{}")
    return bench, write_report(bench, ["base", "joint", "truth"])


def test_figures_come_from_the_clips_that_are_there(finished):
    bench, results = finished
    key = "world-v2.coherent"
    assert results.num_clips == {"base": 3, "joint": 4, "truth": 4}
    assert results.table["truth"][key] == share(4, 4)
    assert results.table["base"][key].n == 3
    comparison = {c.arm: c for c in results.comparisons[key]}["truth"]
    assert (comparison.difference.mean, comparison.difference.n, comparison.wins) == (1, 3, 3)
    assert results.categories["cool square moves slowly"]["truth"][key].n == 2
    told = [p for p in results.problems if p.excluded and p.arm != "probes" and "no value" not in p.what]
    problems = [(p.arm, p.clip, p.what) for p in told]
    assert problems == [("base", bench.items[3].key, "missing")]


def test_results_file_holds_what_every_figure_comes_from(finished):
    bench, _ = finished
    content = json.loads((bench.folder / "results.json").read_text())
    assert content["format"] == 1
    assert content["suite"]["sha256"] == bench.file.suite.sha256
    assert content["arms"]["joint"]["facts"]["guidance"]["w_motion"] == 3
    raw = content["values"]["truth"]["world-v2.coherent"]
    assert raw == {item.key: 1.0 for item in bench.items}
    assert content["table"]["truth"]["world-v2.coherent"]["n"] == 4
    assert "missing" in {problem["what"] for problem in content["problems"]}
    assert content["against"] == "base"


def test_page_refers_to_nothing_outside_itself_and_tells_of_what_is_left_out(finished):
    bench, _ = finished
    html = (bench.folder / "index.html").read_text()
    places = re.findall(r"""(?:src|href|action)\s*=\s*["']?([^"'\s>]{1,30})|url\(([^)]{1,30})""", html)
    assert {first[:20] for first, _ in places} == {
        "data:video/mp4;base6",
        "data:image/svg+xml;b",
        "data:image/png;base6",
        "#problems",
    }
    assert "http://" not in html
    assert "https://" not in html
    for words in (
        "could not be taken or scored",
        "3 of 4",
        "missing",
        "w1 = 5",
        "w2 = 3",
        "sha256",
        "no clip",
    ):
        assert words in html


def test_probes_join_the_report(finished):
    bench, results = finished
    assert [(probe.kind, probe.name) for probe in results.probes] == [
        ("permutation", "base"),
        ("permutation", "joint"),
    ]
    assert [p.what for p in results.problems if p.arm == "probes"] == [
        "something else, not the file of a probe"
    ]
    content = json.loads((bench.folder / "results.json").read_text())
    assert {line["t"] for line in content["probes"][0]["summary"]} == {0.3, 0.8}
    html = (bench.folder / "index.html").read_text()
    assert html.count('class="probe"') == 1
    assert 'alt="permutation probe of base, joint"' in html
    assert "not probed on the same clips" not in html
    light = html.partition("prefers-color-scheme: dark")[0]
    assert tuple(re.findall(r"--c\d: (#\w{6})", light)) == LIGHT  # an arm has one colour everywhere


def test_another_order_and_reference(finished):
    bench, _ = finished
    with pytest.raises(VideoJamError, match="--against as one of the arms of the report: truth"):
        write_report(bench, ["truth"], against="base")
    results = write_report(bench, ["truth", "base"], against="truth", num_shown=1)
    assert results.arms == ["truth", "base"]
    assert results.comparisons["world-v2.coherent"][0].difference.mean == -1
    assert (bench.folder / "index.html").read_text().count("<article") == 1
    with pytest.raises(VideoJamError, match="'nobody'"):
        write_report(bench, ["nobody"])
    write_report(bench, ["base", "joint", "truth"])


def test_the_papers_rows_stand_in_grey_beside_measures_that_match(bench, tmp_path):
    """A judge with VBench's measures; figures of the paper are those of Table 4."""
    from videojam.bench.make.generate import generate_arm
    from videojam.bench.score.scoring import score_arm
    from videojam.evaluation.vbench.aggregate import DIMENSIONS
    from videojam.evaluation.vbench.judge import VBenchJudge

    judge = VBenchJudge.__new__(VBenchJudge)  # without the networks
    judge.name = "vbench"
    judge.take({name: lambda video, fps: 0.8 for name in DIMENSIONS})
    generate_arm(bench, parse_arm("truth=world:truth"))
    score_arm(bench, "truth", [judge])
    results = write_report(bench)
    # (0.8 + 0.8 + (0.8 − 0.1462)/0.8538 + (0.8 − 0.2615)/0.7385)/4 and ((0.8 − 0.706)/0.2915 + 0.4)/1.5
    assert results.table["truth"]["vbench.appearance"].mean == pytest.approx(0.773732, abs=1e-5)
    assert results.table["truth"]["vbench.motion"].mean == pytest.approx(0.481647, abs=1e-5)
    html = (bench.folder / "index.html").read_text()
    assert html.count('class="paper"') == len(results.paper) == 11  # Tables 1, 2, 4 and 5; no ablation here
    row = next(row for row in html.split("<tr") if "VideoJAM-4B" in row)
    assert 'class="paper"' in row
    assert [float(v) for v in re.findall(r"<td>([\d.]+)</td>", row)][:6] == [
        51.6,
        61.1,
        93.5,
        96.7,
        98.8,
        87.5,
    ]


@pytest.fixture(scope="module")
def page(finished, tmp_path_factory):
    """The page alone, in a folder without the clips."""
    folder = tmp_path_factory.mktemp("page")
    copy = Path(shutil.copy(finished[0].folder / "index.html", folder / "index.html"))
    with browser.Browser(folder / "profile") as window:
        window.open(copy, 1280)
        window.wait_for(ALL_READY)
        yield window


def set_control(page, name: str, value: str, event: str = "change") -> None:
    page.evaluate(
        f"(() => {{ const it = document.getElementById('{name}'); it.value = '{value}';"
        f" it.dispatchEvent(new Event('{event}', {{bubbles: true}})); }})()"
    )


@needs_browser
def test_every_video_loads_without_a_complaint_or_a_request(page):
    assert page.evaluate("document.querySelectorAll('video').length") == NUM_VIDEOS
    assert page.problems == []
    assert [url for url in page.requests if not url.startswith(("file:", "data:", "blob:"))] == []


@needs_browser
def test_clips_of_other_lengths_and_rates_show_the_same_moment(page):
    """9 frames at 12 fps beside 25 at 24: the short ones wait on their last frame."""
    for number in (3, 20, 24, 0):  # steps of 1/24 s
        set_control(page, "scrub", str(number), "input")
        time = (number + 0.5) / 24
        middles = {12: (min(8, int(time * 12)) + 0.5) / 12, 24: time}
        page.wait_for(
            f"[...document.querySelectorAll('video')].every(v => !v.seeking && v.paused &&"
            f" Math.abs(v.currentTime - ({{12: {middles[12]}, 24: {middles[24]}}})[v.dataset.fps]) < 0.01)"
        )
    assert page.evaluate("document.getElementById('scrub').max") == "24"


@needs_browser
def test_playing_moves_all_players(page):
    page.evaluate("document.querySelector('.card').scrollIntoView()")
    set_control(page, "scrub", "0", "input")
    page.evaluate("document.getElementById('play').click()")
    page.wait_for("Number(document.getElementById('scrub').value) > 12")
    page.evaluate("document.getElementById('play').click()")
    assert page.evaluate("document.getElementById('play').textContent") == "Play"


@needs_browser
def test_motion_can_lie_over_its_own_clip(page):
    set_control(page, "motion", "over")
    assert page.evaluate("document.querySelectorAll('figure[data-arm=joint] video.over').length") == 4
    assert page.evaluate("document.querySelectorAll('figure[data-arm=base] video.over').length") == 0
    assert page.evaluate("document.querySelector('figure.motion').checkVisibility()") is False
    set_control(page, "motion", "beside")
    assert page.evaluate("document.querySelectorAll('video.over').length") == 0


@needs_browser
@pytest.mark.parametrize("way", ["arrows", "trails"])
def test_motion_can_be_shown_as_lines_over_the_clip(page, way):
    set_control(page, "motion", way)
    seen = "[...document.querySelectorAll('figure.motion video')].filter(v => v.checkVisibility())"
    assert page.evaluate(f"{seen}.map(v => v.className)") == [way] * 4
    assert page.evaluate(f"{seen}.every(v => v.videoWidth >= 256)")
    set_control(page, "motion", "beside")
    assert page.evaluate(f"{seen}.map(v => v.className)") == [""] * 4


@needs_browser
def test_categories_and_arms_can_be_left_out(page):
    seen = "[...document.querySelectorAll('.card')].filter(c => c.checkVisibility()).map(c => c.dataset.kind)"
    set_control(page, "kind", "cool square moves slowly")
    assert page.evaluate(seen) == ["cool square moves slowly"] * 2
    set_control(page, "kind", "")
    assert len(page.evaluate(seen)) == 4
    figures = "[...document.querySelectorAll('figure[data-arm=joint]')].some(f => f.checkVisibility())"
    page.evaluate("document.querySelector('input.arm[value=joint]').click()")
    assert page.evaluate(figures) is False
    page.evaluate("document.querySelector('input.arm[value=joint]').click()")
    assert page.evaluate(figures) is True


@needs_browser
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(page, finished, width):
    page.open(finished[0].folder / "index.html", width)
    page.wait_for(ALL_READY)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    plots = "[...document.querySelectorAll('.plot svg')].every(s => s.getBoundingClientRect().width > 150)"
    assert page.evaluate(plots)
    assert page.problems == []
