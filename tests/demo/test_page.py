"""The demo's page in a real browser, and the promise that it needs nothing but itself."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("demo_browser", Path(__file__).parent / "browser.py")
browser = importlib.util.module_from_spec(_spec)
sys.modules["demo_browser"] = browser
_spec.loader.exec_module(browser)

needs_browser = pytest.mark.skipif(browser.CHROMIUM is None, reason="chromium is not installed")
ALL_READY = "[...document.querySelectorAll('video')].every(video => video.readyState >= 2)"
NUM_VIDEOS = 5 * 5  # five prompts: base, control, VideoJAM, its motion, the world


def set_control(page, name: str, value: str, event: str = "change") -> None:
    page.evaluate(
        f"(() => {{ const it = document.getElementById('{name}'); it.value = '{value}';"
        f" it.dispatchEvent(new Event('{event}')); }})()"
    )


@pytest.fixture(scope="module")
def page(demo_result, tmp_path_factory):
    """The page alone, in a folder without the clips."""
    folder = tmp_path_factory.mktemp("page")
    copy = Path(shutil.copy(demo_result.page, folder / "index.html"))
    with browser.Browser(folder / "profile") as window:
        window.open(copy, 1280)
        window.wait_for(ALL_READY)
        yield window


def test_the_page_refers_to_nothing_outside_itself(demo_result):
    html = demo_result.page.read_text()
    places = re.findall(r"""(?:src|href|action)\s*=\s*["']?([^"'\s>]{1,30})|url\(([^)]{1,30})""", html)
    assert len(places) == NUM_VIDEOS
    assert {first[:20] for first, _ in places} == {"data:video/mp4;base6"}
    assert "http://" not in html
    assert "https://" not in html


def test_the_page_states_its_numbers_and_reasons(demo_result):
    html = demo_result.page.read_text()
    assert "0 of 5" in html
    assert "5 of 5" in html
    assert "n = 5 is for looking, not for ranking" in html
    assert html.count("✓ coherent") == 5
    assert html.count("✗ not coherent") == 15
    for name in ("videojam 0.", "torch ", "diffusers ", "w1 = 5", "w2 = 3", "Inner-Guidance", "900000000"):
        assert name in html


@needs_browser
def test_every_video_loads_without_a_complaint_or_a_request(page):
    assert page.evaluate("document.querySelectorAll('video').length") == NUM_VIDEOS
    sizes = page.evaluate("[...document.querySelectorAll('video')].map(v => [v.videoWidth, v.duration])")
    assert all(width == 64 and abs(duration - 25 / 12) < 0.01 for width, duration in sizes)
    assert page.problems == []
    assert [url for url in page.requests if not url.startswith(("file:", "data:", "blob:"))] == []


@needs_browser
def test_players_stay_in_sync_while_playing(page):
    page.evaluate("document.querySelector('.card').scrollIntoView()")
    page.wait_for("document.getElementById('play').textContent === 'Pause'")
    # Over two seconds, with a loop in it: the spread of the first card's players, while none is seeking.
    spread = page.evaluate(
        """new Promise(done => {
          const videos = [...document.querySelectorAll('.card')[0].querySelectorAll('video')];
          const spreads = [], places = new Set(), end = performance.now() + 2500;
          const look = () => {
            const times = videos.filter(v => !v.seeking).map(v => v.currentTime);
            if (times.length === videos.length) {
              spreads.push(Math.max(...times) - Math.min(...times));
              places.add(Math.round(times[0] * 12));
            }
            if (performance.now() < end) requestAnimationFrame(look);
            else done({spreads: spreads.sort((a, b) => a - b), places: places.size});
          };
          look();
        })"""
    )
    assert spread["places"] >= 12, "the players did not move"
    assert len(spread["spreads"]) >= 10
    typical = spread["spreads"][len(spread["spreads"]) * 3 // 4]
    assert typical <= 1.5 / 12, spread["spreads"]


@needs_browser
def test_scrubbing_puts_every_player_on_the_same_frame(page):
    for frame in (20, 3, 24, 0):
        set_control(page, "scrub", str(frame), "input")
        middle = (frame + 0.5) / 12
        page.wait_for(
            f"[...document.querySelectorAll('video')].every(v => !v.seeking && v.paused &&"
            f" Math.abs(v.currentTime - {middle}) < 0.01)"
        )
        assert page.evaluate("document.getElementById('frame').textContent") == f"{frame + 1}/25"


@needs_browser
def test_motion_can_lie_over_the_clip_or_be_left_out(page):
    set_control(page, "motion", "over")
    assert page.evaluate("document.querySelectorAll('.videojam video.over').length") == 5
    page.wait_for(ALL_READY)
    set_control(page, "motion", "off")
    assert page.evaluate("document.querySelectorAll('video.over').length") == 0
    assert page.evaluate("document.querySelector('figure.motion').checkVisibility()") is False
    set_control(page, "motion", "beside")
    assert page.evaluate("document.querySelector('figure.motion').checkVisibility()") is True


@needs_browser
def test_one_kind_can_be_shown_alone(page):
    set_control(page, "kind", "wheel")
    seen = "[...document.querySelectorAll('.card')].filter(c => c.checkVisibility()).map(c => c.dataset.kind)"
    assert page.evaluate(seen) == ["wheel"]
    set_control(page, "kind", "")
    assert len(page.evaluate(seen)) == 5


@needs_browser
def test_without_loop_the_clips_stop_at_their_end_and_start_again(page):
    page.evaluate("document.getElementById('loop').click()")
    set_control(page, "speed", "2")
    set_control(page, "scrub", "20", "input")
    page.evaluate("document.getElementById('play').click()")
    page.wait_for("document.getElementById('play').textContent === 'Play'")
    assert page.evaluate("document.getElementById('frame').textContent") == "25/25"
    page.evaluate("document.getElementById('play').click()")
    page.wait_for("Number(document.getElementById('scrub').value) < 20")
    page.evaluate("document.getElementById('loop').click()")
    set_control(page, "speed", "1")


@needs_browser
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(page, demo_result, width):
    page.open(demo_result.page, width)
    page.wait_for(ALL_READY)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.problems == []
