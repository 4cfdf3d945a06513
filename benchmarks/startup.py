"""What a user waits for: `import videojam`, `videojam --help`, and with --demo the whole demo.

    python benchmarks/startup.py [--demo] [--out benchmarks/results/startup.json]

Each command runs in a process of its own; the median of several runs, and all of them, are written. The goals
are 0.5 s, 1 s, and 180 s on two cores.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from videojam.files import write_text
from videojam.provenance import versions_of

NUM_RUNS = 7
CALL = "from videojam.cli import run; run()"
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import videojam": [sys.executable, "-c", "import videojam"],
    "videojam --help": [sys.executable, "-c", CALL, "--help"],
}


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--demo", action="store_true", help="also run the demo once")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "startup.json")
    args = parser.parse_args()

    taken = {name: [seconds(command) for _ in range(NUM_RUNS)] for name, command in COMMANDS.items()}
    if args.demo:
        with tempfile.TemporaryDirectory() as folder:
            taken["videojam demo"] = [seconds([sys.executable, "-c", CALL, "demo", "--out", folder])]
    result = {
        "command": "python benchmarks/startup.py" + (" --demo" if args.demo else ""),
        "date": datetime.date.today().isoformat(),
        "hardware": {"cpu": cpu_model(), "num_cores": os.cpu_count(), "load": list(os.getloadavg())},
        "versions": {
            "python": platform.python_version(),
            **versions_of(("videojam", "torch", "typer")),
        },
        "median_s": {name: round(statistics.median(times), 3) for name, times in taken.items()},
        "all_s": {name: [round(t, 3) for t in times] for name, times in taken.items()},
    }
    write_text(args.out, json.dumps(result, indent=2) + "\n")
    print(json.dumps(result["median_s"], indent=2))


if __name__ == "__main__":
    main()
