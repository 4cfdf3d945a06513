"""What the tests of studies share: small clips, a client, the server as a process, the browser."""

from __future__ import annotations

import http.client
import importlib.util
import json
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from videojam.motion.video import write_video

PROMPTS = ("a red ball rolls", "a <b>wheel</b> <script>turns</script>", "two discs meet", "a cat runs")
CALL = "from videojam.cli import run; run()"


def load_browser():
    """Return the module with the real browser."""
    path = Path(__file__).parents[1] / "bench" / "browser.py"
    spec = importlib.util.spec_from_file_location("study_browser", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["study_browser"] = module
    spec.loader.exec_module(module)
    return module


def write_clips(folder: Path, shade: int, prompts=PROMPTS, num_frames: int = 8) -> Path:
    """A square that moves evenly, one clip a prompt, a third of a second long."""
    for number, prompt in enumerate(prompts):
        frames = torch.full((num_frames, 3, 36, 64), 230, dtype=torch.uint8)
        for i in range(num_frames):
            frames[i, :, 4 + 5 * number : 16 + 5 * number, 6 * i : 6 * i + 14] = shade
        write_video(folder / f"clip{number}.mp4", frames, 24)
        (folder / f"clip{number}.txt").write_text(prompt)
    return folder


class Client:
    """One rater's HTTP client."""

    def __init__(self, port: int, token: str = "") -> None:
        self.port, self.token = port, token

    def ask(
        self, path: str, body: Any = None, method: str | None = None, **headers: str
    ) -> tuple[int, bytes, dict]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            mine = {"authorization": f"Bearer {self.token}"} if self.token else {}
            method = method or ("GET" if body is None else "POST")
            connection.request(method, path, content, mine | headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()}
        finally:
            connection.close()

    def call(self, name: str, body: Any = None) -> dict:
        status, content, _ = self.ask(f"/api/{name}", {} if body is None else body)
        assert status == 200, content
        return json.loads(content)


@contextmanager
def served(folder: Path, *flags: str):
    """Run the server; yields its process, port and what it has said."""
    process = subprocess.Popen(
        [sys.executable, "-c", CALL, "study", "serve", str(folder), "--port", "0", *flags],
        stderr=subprocess.PIPE,
        text=True,
    )
    said: list[str] = []
    try:
        for line in process.stderr:
            said.append(line)
            if "machine" in line:
                break
        port = int(re.search(r":(\d+)/", "".join(said)).group(1))
        threading.Thread(target=lambda: said.extend(process.stderr), daemon=True).start()
        yield process, port, said
    finally:
        process.terminate()
        process.wait(20)
