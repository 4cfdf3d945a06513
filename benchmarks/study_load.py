"""The study's server under 50 raters at once: times of a page and a vote; and killed 20 times: what becomes of votes.

    python benchmarks/study_load.py [--out benchmarks/results/study_load.json]

Each rater is a thread with an HTTP client of its own: it joins, asks for a pair, loads both clips, waits until they can
have played (a quarter of a second), and votes; a request that gets no answer is sent again. First for 20 s undisturbed,
then, on a study of its own, while the server is killed with SIGKILL at random points and started again. A copy of the
votes is made in between.
"""

from __future__ import annotations

import argparse
import datetime
import http.client
import json
import os
import platform
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from videojam.files import write_text
from videojam.motion.video import write_video
from videojam.study.config import StudyConfig, load_study
from videojam.study.create import Asked, new_study
from videojam.study.database import backup

NUM_RATERS, NUM_KILLS, NUM_PAIRS, QUIET_S = 50, 20, 60, 20
CLIP_S = 0.25
QUESTIONS = ("text_faithfulness", "quality", "motion")
CALL = "from videojam.cli import run; run()"


class Server:
    """The server as a process that can be killed and started again on one port."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.start()

    def start(self) -> None:
        """Start it, and wait until it can be connected to."""
        words = [
            "study",
            "serve",
            str(self.folder),
            "--port",
            str(self.port),
            "--open",
            "--joins-per-hour",
            "999999",
        ]
        self.process = subprocess.Popen([sys.executable, "-c", CALL, *words], stderr=subprocess.DEVNULL)
        while True:
            try:
                http.client.HTTPConnection("127.0.0.1", self.port, timeout=5).connect()
                return
            except OSError:
                time.sleep(0.05)

    def kill(self) -> None:
        """Kill it without a warning."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Stop it as a user does."""
        self.process.terminate()
        self.process.wait(30)


class Rater(threading.Thread):
    """One rater; keeps what was acknowledged, and how long each request took."""

    def __init__(self, number: int, port: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.rng, self.port, self.stopped = random.Random(number), port, stop
        self.acknowledged: dict[str, dict[str, str]] = {}
        self.times: dict[str, list[float]] = {}
        self.problems: list[str] = []
        self.token = ""
        self.finished = False

    def run(self) -> None:
        """Rate until nothing is left or all are stopped."""
        self.ask("page", "GET", "/")
        self.token = json.loads(self.ask("join", "POST", "/api/join", {"query": {}}))["token"]
        while not self.stopped.is_set():
            given = json.loads(self.ask("next", "POST", "/api/next", {}) or "{}").get("assignment")
            if not given:
                self.finished = True
                return
            since = time.monotonic()
            for side in ("left", "right"):
                self.ask("clip", "GET", given[side])
            time.sleep(max(0.0, CLIP_S - (time.monotonic() - since)))
            answers = {question: self.rng.choice(("left", "right")) for question in QUESTIONS}
            vote = {"assignment": given["id"], "answers": answers}
            if json.loads(self.ask("vote", "POST", "/api/vote", vote) or "{}").get("taken"):
                self.acknowledged[given["id"]] = answers

    def ask(self, name: str, method: str, path: str, body: Any = None) -> bytes:
        """Send a request until it is answered; the time of the answer is kept by name."""
        while True:
            start = time.perf_counter()
            try:
                with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
                    headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
                    connection.request(method, path, None if body is None else json.dumps(body), headers)
                    answer = connection.getresponse()
                    content = answer.read()
            except (OSError, http.client.HTTPException):
                if self.stopped.is_set():
                    return b""
                time.sleep(0.1)
                continue
            self.times.setdefault(name, []).append(time.perf_counter() - start)
            if answer.status != 200:
                self.problems.append(f"{path}: {answer.status} {content[:80]!r}")
            return content


def make(folder: Path) -> None:
    """Two arms of square clips that move."""
    for arm, shade in (("a", 30), ("b", 120)):
        for number in range(NUM_PAIRS):
            frames = torch.full((6, 3, 64, 64), 230, dtype=torch.uint8)
            for i in range(6):
                frames[i, :, number % 40 : number % 40 + 20, 8 * i : 8 * i + 20] = shade
            write_video(folder / arm / f"{number:03d}.mp4", frames, 24)
            (folder / arm / f"{number:03d}.txt").write_text(f"prompt {number}")


def session(folder: Path, port: int, during: Callable[[Server], Any]) -> tuple[list[Rater], Any]:
    server, stop = Server(folder, port), threading.Event()
    raters = [Rater(number, port, stop) for number in range(NUM_RATERS)]
    for rater in raters:
        rater.start()
    found = during(server)
    stop.set()
    for rater in raters:
        rater.join(30)
    server.stop()
    return raters, found


def compare(database: Path, raters: list[Rater]) -> dict[str, int]:
    """Compare what was acknowledged with what is in the database."""
    with closing(sqlite3.connect(database)) as connection:
        sides = dict(
            connection.execute("SELECT id, first_is_left FROM assignments WHERE voted_at IS NOT NULL")
        )
        stored: dict[str, dict[str, str]] = {}
        rows = connection.execute("SELECT assignment, question, first_won FROM answers").fetchall()
        twice = connection.execute(
            "SELECT COUNT(*) FROM (SELECT 1 FROM assignments GROUP BY rater, pair, kind HAVING COUNT(*) > 1)"
        ).fetchone()[0]
        sound = connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    for assignment, question, first_won in rows:
        stored.setdefault(assignment, {})[question] = (
            "left" if first_won == sides.get(assignment) else "right"
        )
    acknowledged = {name: answers for rater in raters for name, answers in rater.acknowledged.items()}
    return {
        "acknowledged": len(acknowledged),
        "stored": len(stored),
        "lost": sum(name not in stored for name in acknowledged),
        "changed": sum(stored.get(name, answers) != answers for name, answers in acknowledged.items()),
        "halved": sum(len(answers) != len(QUESTIONS) for answers in stored.values()),
        "doubled": twice + len(rows) - len({(a, q) for a, q, _ in rows}),
        "database_sound": int(sound),
    }


def quiet(server: Server) -> dict[str, Any]:
    time.sleep(QUIET_S / 2)
    start = time.perf_counter()
    copy = backup(server.folder, load_study(server.folder), server.folder / "copy.sqlite")
    took = time.perf_counter() - start
    with closing(sqlite3.connect(copy)) as connection:
        num = connection.execute("SELECT COUNT(*) FROM assignments WHERE voted_at IS NOT NULL").fetchone()[0]
        sound = connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    time.sleep(QUIET_S / 2)
    return {"votes_in_copy": num, "copy_s": round(took, 3), "copy_sound": sound}


def killing(server: Server) -> int:
    rng = random.Random(0)
    for _ in range(NUM_KILLS):
        time.sleep(rng.uniform(0.2, 1.5))
        server.kill()
        server.start()
    time.sleep(2)
    return NUM_KILLS


def quantiles(raters: list[Rater]) -> dict[str, dict[str, float]]:
    names = dict.fromkeys(name for rater in raters for name in rater.times)
    found = {}
    for name in names:
        times = np.array([t for rater in raters for t in rater.times.get(name, [])]) * 1000
        p50, p95, p99 = (round(float(np.quantile(times, q)), 1) for q in (0.5, 0.95, 0.99))
        found[name] = {"n": len(times), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/study_load.json"))
    parser.add_argument("--port", type=int, default=18765)
    args = parser.parse_args()
    config = StudyConfig(raters_per_pair=NUM_RATERS, pairs_per_rater=NUM_PAIRS, num_checks=0, practice=False)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        make(root / "clips")
        asked = Asked([f"a={root / 'clips/a'}", f"b={root / 'clips/b'}"])
        for study in ("quiet", "killed"):
            new_study(root / study, asked, config)
        raters, copied = session(root / "quiet", args.port, quiet)
        calm = {"times": quantiles(raters), **compare(root / "quiet/votes.sqlite", raters), **copied}
        calm["refused"] = sorted({problem for rater in raters for problem in rater.problems})
        raters, kills = session(root / "killed", args.port + 1, killing)
        killed = {"kills": kills, **compare(root / "killed/votes.sqlite", raters)}
        killed["refused"] = sorted({problem for rater in raters for problem in rater.problems})
    result = {
        "date": datetime.date.today().isoformat(),
        "num_raters": NUM_RATERS,
        "quiet": calm,
        "killed": killed,
        "num_cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": {package: version(package) for package in ("starlette", "uvicorn")}
        | {"sqlite": sqlite3.sqlite_version},
    }
    write_text(args.out, json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
