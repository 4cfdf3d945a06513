"""The page in a real browser and by real HTTP requests, against `videojam app` as a process of its own."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

if importlib.util.find_spec("gradio") is None:  # the server imports it, and this process doesn't
    pytest.skip("the extra videojam[app] is not installed", allow_module_level=True)

_spec = importlib.util.spec_from_file_location(
    "app_browser", Path(__file__).parents[1] / "bench" / "browser.py"
)
browser = importlib.util.module_from_spec(_spec)
sys.modules["app_browser"] = browser
_spec.loader.exec_module(browser)
has_browser = pytest.mark.skipif(browser.CHROMIUM is None, reason="chromium is not installed")

CALL = "from videojam.cli import run; run()"
CARDS = "document.querySelectorAll('.vj-card').length"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The page of the shipped models: its port, its folder of clips, its process, what it says."""
    port, temporary = free_port(), tmp_path_factory.mktemp("app-tmp")
    process = subprocess.Popen(
        [sys.executable, "-c", CALL, "app", "--port", str(port), "--device", "cpu"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    said: list[str] = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("Open "):
            break
    threading.Thread(target=lambda: said.extend(process.stderr), daemon=True).start()
    try:
        yield port, temporary, process, said
    finally:
        process.terminate()
        assert process.wait(20) == 128 + signal.SIGTERM
        assert list(temporary.glob("videojam-app-*")) == []  # nothing is left behind
        assert "videojam/app" not in "".join(said)  # no traceback of ours


def ask(port: int, path: str, body: bytes | None = None, method: str | None = None, **headers: str):
    """Return status and body of one request, whose path is sent as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method or ("GET" if body is None else "POST"), path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def fill(window, selector: str, value) -> None:
    """Type into a field as a user does."""
    window.evaluate(
        f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
        "const set = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(e), 'value').set;"
        f"set.call(e, {json.dumps(value)});"
        "for (const kind of ['input', 'change', 'blur']) e.dispatchEvent(new Event(kind, {bubbles: true})); })()"
    )


def press(window, selector: str) -> None:
    window.evaluate(f"document.querySelector({json.dumps(selector)}).click()")


def opened(window, port: int, width: int = 1440, height: int = 900) -> str:
    address = f"http://127.0.0.1:{port}/"
    window.open(address, width, height)
    window.wait_for("!!document.querySelector('#vj-generate')", 60)
    window.evaluate("document.querySelectorAll('button.label-wrap:not(.open)').forEach((b) => b.click())")
    window.wait_for("!!document.querySelector('#vj-steps input[type=number]')", 20)
    return address


@has_browser
@pytest.mark.slow
def test_a_session_in_a_browser(server, tmp_path):
    """Generate, look, restore the settings of an earlier clip, stop, ask for too much, and go on."""
    port, *_ = server
    with browser.Browser(tmp_path / "profile") as window:
        address = opened(window, port)
        press(window, "#vj-examples label:nth-of-type(3) input")
        window.wait_for("document.querySelector('#vj-prompt textarea').value === 'cool square moves quickly'")
        fill(window, "#vj-steps input[type=number]", "3")
        fill(window, "#vj-seed input", "7")
        press(window, "#vj-generate")
        window.wait_for(f"{CARDS} === 1", 90)
        shown = "#vj-shown .vj-run"
        assert window.evaluate(f"document.querySelectorAll('{shown} video.clip').length") == 3
        assert window.evaluate(f"document.querySelectorAll('{shown} .vj-motion').length") == 1  # VideoJAM's
        assert "seed 7, 3 steps" in window.evaluate(
            f"document.querySelector('{shown} .vj-words').textContent"
        )
        assert window.evaluate("document.querySelector('.vj-legend img').naturalWidth") == 96
        window.wait_for(f"[...document.querySelectorAll('{shown} video')].every((v) => v.readyState >= 2)")
        press(window, f"{shown} .vj-play")
        time.sleep(0.3)
        places = window.evaluate(
            f"[...document.querySelectorAll('{shown} video.clip')].map((v) => v.currentTime)"
        )
        assert max(places) - min(places) < 1e-3  # in step, to the frame
        for how, seen in (
            ("over", ".over"),
            ("arrows", ".vj-motion .arrows"),
            ("trails", ".vj-motion .trails"),
        ):
            fill(window, f"{shown} .vj-how", how)
            assert window.evaluate(f"document.querySelector('{shown} {seen}').getClientRects().length") == 1
            hidden = window.evaluate(f"getComputedStyle(document.querySelector('{shown} .colours')).display")
            assert hidden == "none"

        fill(window, "#vj-seed input", "8")
        fill(window, "#vj-w-motion input[type=number]", "0")
        press(window, "#vj-generate")
        window.wait_for(f"{CARDS} === 2", 90)
        press(window, "#vj-restore-1")  # the older of the two
        window.wait_for("document.querySelector('#vj-seed input').value === '7'")
        window.wait_for("document.querySelector('#vj-w-motion input[type=number]').value === '2'")

        fill(window, "#vj-steps input[type=number]", "200")
        press(window, "#vj-generate")
        window.wait_for("/step \\d+ of 200, model 1 of 3, about .* left/.test(document.body.innerText)", 60)
        press(window, "#vj-stop")
        window.wait_for("document.querySelector('#vj-status').textContent.includes('Stopped.')")

        fill(window, "#vj-steps input[type=number]", "2")
        fill(window, "#vj-width input", "1000000")
        press(window, "#vj-generate")
        window.wait_for("!!document.querySelector('.vj-error')", 60)
        words = window.evaluate("document.querySelector('.vj-error').innerText")
        assert "memory" in words or "Width" in words or "width" in words, words
        fill(window, "#vj-width input", "64")
        press(window, "#vj-generate")
        window.wait_for(f"{CARDS} === 3", 90)
        assert window.problems == []
        assert all(url.startswith((address, "data:", "blob:")) for url in window.requests)


@has_browser
@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_is_wider_than_the_window(server, width, tmp_path):
    port, *_ = server
    with browser.Browser(tmp_path / "profile") as window:
        opened(window, port, width)
        fill(window, "#vj-steps input[type=number]", "2")
        press(window, "#vj-generate")
        window.wait_for(f"{CARDS} === 1", 90)
        assert window.evaluate("document.documentElement.scrollWidth") <= width
        lefts = "[...document.querySelectorAll('#vj-shown .vj-panels > *')].map(e => e.getBoundingClientRect().left)"
        assert window.evaluate(f"new Set({lefts}).size") == (2 if width == 390 else 4)


SECRET = "a line that only this machine may read"
ESCAPES = (
    "/gradio_api/file={0}", "/gradio_api/file%3D{0}", "/file={0}", "/file/{0}", "/gradio_api/file/{0}", "//file={0}",
    "/gradio_api//file={0}", "/gradio_api/./file={0}", "/clips/../gradio_api/file={0}", "/gradio_api/proxy=file://{0}",
    "/clips/{0}", "/clips/..%2f..%2f..{0}", "/clips/%2e%2e/%2e%2e{0}", "/clips//{0}", "/static/{0}",
    "/static/../../../../..{0}",
    "/static/..%2f..%2f..%2f..{0}", "/assets/{0}", "/assets/..%2f..%2f..%2f..{0}", "/assets/%2e%2e/%2e%2e/%2e%2e{0}",
    "/svelte/{0}", "/custom_component/x/y/z/{0}", "/gradio_api/stream/{0}/1/1/playlist-file", "/config/..{0}", "{0}",
)  # fmt: skip


def test_no_file_of_the_machine_is_read_through_the_page(server, tmp_path):
    port, temporary, *_ = server
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    folder = next(temporary.glob("videojam-app-*"))
    (folder / "beside.txt").write_text(SECRET)
    places = (str(secret), f"{folder}/beside.txt", str(Path(__file__).resolve()), "/etc/passwd")
    for shape in ESCAPES:
        for place in places:
            status, body = ask(port, shape.format(place))
            assert status in (400, 403, 404), (shape, status)
            assert SECRET.encode() not in body
            assert b"root:" not in body
    locks = [path.name for path in folder.glob(".*")]
    assert locks
    assert ask(port, f"/clips/{locks[0]}")[0] == 404
    assert ask(port, f"/clips/{'0' * 32}.mp4")[0] == 404


UNUSED = (
    "upload", "component_server", "call/generate", "run/predict", "api/predict", "stream/x", "mcp/", "deep_link",
)  # fmt: skip


def test_nothing_is_taken_that_the_page_does_not_send(server):
    for path in ("/upload", "/login", *(f"/gradio_api/{name}" for name in UNUSED)):
        assert ask(server[0], path, b"{}", **{"content-type": "application/json"})[0] == 404, path


def test_files_that_are_named_in_a_prompt_are_refused(server, tmp_path):
    """What Gradio takes for an uploaded file is not one, and a body beyond the page's size is not read."""
    port, _, process, _ = server
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    config = json.loads(ask(port, "/config")[1])
    generate = next(d for d in config["dependencies"] if len(d["inputs"]) > 5)
    file = {"path": str(secret), "url": f"file://{secret}", "meta": {"_type": "gradio.FileData"}}
    for prompt in (file, [file], {"a": file}):
        data = [None, prompt, 0, 0, 0, "half", 2, 6, 64, 64]
        body = {"data": data, "fn_index": generate["id"], "session_hash": "intruder", "trigger_id": None}
        status, answer = ask(
            port, "/gradio_api/queue/join", json.dumps(body).encode(), **{"content-type": "application/json"}
        )
        assert SECRET.encode() not in answer
        if status == 200:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/gradio_api/queue/data?session_hash=intruder")
            said = b""
            for line in connection.getresponse():
                said += line
                if b"process_completed" in line or b"close_stream" in line:
                    break
            connection.close()
            assert SECRET.encode() not in said
            assert b"vj-card" not in said
    status, _ = ask(port, "/gradio_api/queue/join", b" " * 300_000, **{"content-type": "application/json"})
    assert status in (400, 413)
    assert process.poll() is None
    assert ask(port, "/")[0] == 200


def test_only_this_machine_reaches_the_page(server):
    """The server is bound to 127.0.0.1: another address of this machine, 127.0.0.2 say, is not served."""
    port, *_ = server
    assert ask(port, "/")[0] == 200
    with pytest.raises(OSError):  # noqa: PT011 - refused, or unreachable
        socket.create_connection(("127.0.0.2", port), timeout=2).close()
    assert not re.search(r"https://\S*gradio\.live", "".join(server[3]))
    status, page = ask(port, "/")
    assert status == 200
    assert b"fonts.googleapis" not in page
