"""The raters' page in a real browser: a session by keyboard, by touch, and what it looks like."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests_study_clips import PROMPTS, load_browser, served

from videojam.study.config import load_study
from videojam.study.database import Database
from videojam.study.tally import agreement, read_tally

browser = load_browser()
pytestmark = pytest.mark.skipif(browser.CHROMIUM is None, reason="chromium is not installed")

UNLOCKED = "!document.getElementById('rate').hidden && !document.getElementById('choose-left').disabled"
MESSAGE = "!document.getElementById('message').hidden"
CONTRASTS = """(() => {
  const parse = (c) => { const m = c.match(/[\\d.]+/g).map(Number); return m.length > 3 ? m : [...m, 1]; };
  const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = (c) => c.slice(0, 3).map((v) => linear(v / 255))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => {
    for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] > 0.7) return c; }
    return [255, 255, 255, 1];
  };
  const found = [];
  for (const e of document.querySelectorAll("h1, p, button, li, kbd, figcaption, span, b, a")) {
    if (!e.textContent.trim() || !e.getClientRects().length) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), e.id || e.tagName]);
  }
  return found.sort((x, y) => x[0] - y[0]);
})()"""


@pytest.fixture(scope="module")
def study(made, tmp_path_factory):
    folder = Path(shutil.copytree(made, tmp_path_factory.mktemp("page") / "study"))
    with served(folder, "--open", "--joins-per-hour", "1000") as (_, port, _said):
        yield folder, f"http://127.0.0.1:{port}/"


def begin(window, address: str, width: int, height: int, dark: bool = False) -> None:
    window.open(address, width, height, dark=dark)
    window.wait_for("!document.getElementById('welcome').hidden")
    window.evaluate("document.getElementById('agree').click()")
    window.wait_for("!document.getElementById('instructions').hidden")


def pause_and_go_on(window) -> None:
    """Press pause in the middle of a pair: clips stand, keys do nothing, and the same pair comes back."""
    here = window.evaluate("state.assignment.id")
    window.press("ArrowRight")  # the first question is answered
    window.touch("#pause")
    window.wait_for(MESSAGE)
    assert window.evaluate("$('message-head').textContent") == "Paused"
    assert window.evaluate("$('rate').hidden && videos.every((video) => video.paused)")
    for key in ("ArrowLeft", "ArrowRight", " "):
        window.press(key)
    assert window.evaluate("!$('message').hidden && videos.every((video) => video.paused)")
    window.touch("#resume")
    window.wait_for(UNLOCKED)
    assert window.evaluate("[state.assignment.id, state.asked, videos.some((video) => video.paused)]") == [
        here, 0, False,
    ]  # fmt: skip


def test_a_session_by_keyboard_from_consent_to_code(study, tmp_path):
    folder, address = study
    with browser.Browser(tmp_path / "profile") as window:
        begin(window, address, 1440, 900)
        window.evaluate("document.getElementById('begin').click()")
        window.wait_for("!document.getElementById('rate').hidden")
        assert window.evaluate(
            "document.getElementById('choose-left').disabled"
        )  # until both have played once
        window.press("ArrowLeft")
        assert window.evaluate("state.asked") == 0
        window.wait_for(UNLOCKED)
        apart = [
            window.evaluate("Math.abs(videos[0].currentTime - videos[1].currentTime)") for _ in range(20)
        ]
        assert sorted(apart)[len(apart) // 2] < 0.05
        window.press("ArrowLeft")
        assert window.evaluate("document.getElementById('question').textContent").startswith("2 of 3")
        window.press("ArrowUp")
        assert window.evaluate("document.getElementById('choose-left').classList.contains('was')")
        for key in ("ArrowRight", "ArrowLeft", "ArrowRight"):
            window.press(key)
        window.wait_for(MESSAGE)
        assert "practice" in window.evaluate("document.getElementById('message-head').textContent")
        window.evaluate("document.getElementById('resume').click()")
        prompts = set()
        for number in range(1, 7):
            window.wait_for(
                f"document.getElementById('count').textContent.startsWith('{number} of') && {UNLOCKED}"
            )
            prompts.add(window.evaluate("document.getElementById('prompt').textContent"))
            if number == 2:  # leave and come back: the same pair, and nothing lost
                here = window.evaluate("state.assignment.id")
                window.open(address, 1440, 900)
                window.wait_for(UNLOCKED)
                assert window.evaluate("state.assignment.id") == here
            if number == 3:
                pause_and_go_on(window)
            for key in ("ArrowLeft", "ArrowRight", "ArrowLeft"):
                window.press(key)
        window.wait_for(MESSAGE)
        code = window.evaluate("document.getElementById('code').textContent")
        assert len(code) == 8
        assert window.evaluate("getComputedStyle($('go')).display") != "none"
        assert window.evaluate("$('go').href") == f"https://example.org/done?cc={code}"
        assert prompts <= set(PROMPTS)
        assert PROMPTS[1] in prompts  # shown as the text that it is
        assert all(url.startswith((address, "blob:", "data:")) for url in window.requests)
        assert window.problems == []
    tally = read_tally(Database.open(folder, load_study(folder), read_only=True), load_study(folder))
    sides = {(v.question, v.left_won) for v in tally.votes if v.kind == "pair"}
    assert sides == {("text_faithfulness", True), ("quality", False), ("motion", True)}
    assert agreement(tally.votes) == [False] * 3  # the same keys on flipped sides


def test_a_phone_by_touch(study, tmp_path):
    _, address = study
    with browser.Browser(tmp_path / "profile") as window:
        begin(window, address, 390, 844)
        window.touch("#begin")
        window.wait_for(UNLOCKED)
        assert window.evaluate("document.documentElement.scrollWidth") == 390
        boxes = json.loads(
            window.evaluate("JSON.stringify(videos.map((v) => { const b = v.getBoundingClientRect(); "
                            "return [b.x, b.width, b.height, b.top, b.bottom]; }))")
        )  # fmt: skip
        assert boxes[0][:3] == boxes[1][:3]  # equal size, one above the other
        assert boxes[1][3] >= boxes[0][4]
        tall = window.evaluate("document.getElementById('choose-left').getBoundingClientRect().height")
        assert tall >= 44
        assert (
            window.evaluate("document.getElementById('choose-right').getBoundingClientRect().bottom") <= 844
        )
        for selector in ("#choose-left", "#choose-right", "#choose-left"):
            window.touch(selector)
        window.wait_for(MESSAGE)
        window.touch("#delete")
        window.touch("#delete-yes")
        window.wait_for("document.getElementById('message-head').textContent === 'Deleted'")
        assert window.problems == []


@pytest.mark.slow
def test_contrast_is_at_least_aa_and_nothing_is_wider_than_the_window(study, tmp_path):
    _, address = study
    with browser.Browser(tmp_path / "profile") as window:
        for dark in (False, True):
            window.open("about:blank", 768, 1024)
            window.open(address, 768, 1024, dark=dark)
            window.wait_for("state.study && (!$('welcome').hidden || !$('instructions').hidden)")
            checked = window.evaluate(CONTRASTS)
            if not dark:  # the second time the page knows its rater
                window.evaluate("$('agree').click()")
                window.wait_for("!$('instructions').hidden")
            checked += window.evaluate(CONTRASTS)
            window.evaluate("$('begin').click()")
            window.wait_for("!$('rate').hidden")
            checked += window.evaluate(CONTRASTS)  # with the buttons locked
            window.wait_for(UNLOCKED)
            checked += window.evaluate(CONTRASTS)
            assert len(checked) > 20
            assert [one for one in checked if one[0] < 4.5] == []
            assert window.evaluate("document.documentElement.scrollWidth") <= 768
