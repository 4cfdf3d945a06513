"""What resuming a finished bench of 1,000 clips takes: `videojam bench score` when everything is scored.

    python benchmarks/bench_resume.py [--out benchmarks/results/bench_resume.json]

Four arms of 250 world clips, scored by the world's judge; then the same command again, in processes of their own. The
goal is 10 s.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from videojam.bench.folder import Bench
from videojam.bench.make.arms import parse_arm
from videojam.bench.make.generate import generate_arm
from videojam.bench.make.suites import load_suite
from videojam.bench.manifest import read_manifest, write_manifest
from videojam.files import write_text
from videojam.provenance import versions_of

NUM_ARMS, NUM_PROMPTS, NUM_RUNS = 4, 250, 3
CALL = "from videojam.cli import run; run()"


def make(folder: Path) -> Bench:
    """One arm drawn, the others linked to it: what is timed reads no clip."""
    suite = load_suite("world")
    bench = Bench.create(folder, suite.model_copy(update={"prompts": suite.prompts[:NUM_PROMPTS]}))
    generate_arm(bench, parse_arm("arm0=world:truth,frames=9,height=32,width=32"))
    first = bench.arm_folder("arm0")
    for i in range(1, NUM_ARMS):
        other = bench.arm_folder(f"arm{i}")
        other.mkdir()
        for path in first.glob("*.mp4"):
            os.link(path, other / path.name)
        manifest = read_manifest(bench, "arm0")
        assert manifest is not None
        write_manifest(bench, manifest.model_copy(update={"name": f"arm{i}"}))
    return bench


def seconds(folder: Path) -> tuple[float, float]:
    """Return wall and processor seconds of one call."""
    words = ["bench", "score", "--out", str(folder), "--on-problem", "warn"]
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", CALL, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return round(time.perf_counter() - start, 2), round(used, 2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/bench_resume.json"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = make(Path(folder) / "bench")
        first = seconds(bench.folder)
        again = [seconds(bench.folder) for _ in range(NUM_RUNS)]
    result = {
        "date": datetime.date.today().isoformat(),
        "num_clips": NUM_ARMS * NUM_PROMPTS,
        "first": {"wall_s": first[0], "processor_s": first[1]},
        "resumed": {"wall_s": [wall for wall, _ in again], "processor_s": [used for _, used in again]},
        "num_cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": versions_of(("torch", "scipy", "av")),
    }
    write_text(args.out, json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
