"""Two revisions of this repository against one another, in one run: seconds of what a user waits for, and their ratio.

    python benchmarks/before_after.py BEFORE AFTER [--rounds 3] [--clips 64] [--only help import …] [--out FILE]

BEFORE and AFTER are git revisions, or folders of checkouts. Each command runs in a process of its own with the code of
its revision, in the order A B A B …, after one unmeasured run of each: so the machine's drift is in both. The result
has the seconds of every run and min, median and max of AFTER / BEFORE over the rounds. Inputs are the same for both: a
tiny random Wan pipeline, the joint model that BEFORE converts it to, and the prompts of the bench. The demo is each
revision's own, once and without a warm-up: where its models and number of clips changed, its ratio compares two demos
and not two codes, and the result says so. On 2 cores it takes under 4 minutes.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from videojam.files import write_text

ROOT = Path(__file__).parents[1]
VERB = [sys.executable, "-c", "from videojam.cli import run; run()"]
TARGETS_S = {"help": 0.5, "import": 0.2}  # of AFTER's median
ONCE = ("demo", "tests")
"""What takes minutes: measured once, without a warm-up."""
DEMO_NOTE = (
    "each revision's own demo; where models and clips changed, the ratio compares two demos and not two codes"
)
TIMED_IMPORT = "import time; t = time.perf_counter(); import videojam; print(time.perf_counter() - t)"
WRITE_BASE = """
import importlib.util, pathlib, sys
spec = importlib.util.spec_from_file_location("tiny", sys.argv[1])
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)
tiny.write_tiny_wan(pathlib.Path(sys.argv[2]))
"""


@contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """A folder with a revision's files: the folder itself, or a worktree that goes afterwards."""
    if Path(revision).is_dir():
        yield Path(revision).resolve()
        return
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", "--quiet", str(tree), revision], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def call(tree: Path, command: list[str]) -> str:
    """Run a command with a tree's code and return what it prints; a failure shows its errors and stops."""
    environment = {
        "OMP_WAIT_POLICY": "PASSIVE"
    } | os.environ  # spinning threads measure the machine's other load
    environment |= {"PYTHONPATH": str(tree / "src"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, cwd=tree, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed in {tree}:\n{done.stdout}{done.stderr}")
    return done.stdout


def commands(inputs: Path, num_clips: int) -> dict[str, list[str]]:
    """What is measured, by name; `OUT` stands for a folder that isn't there yet."""
    arm = f"joint={inputs / 'joint'},steps=4,frames=9,height=32,width=32"
    bench = ["bench", "run", arm, "--suite", str(inputs / "suite.json"), "--judge", "proxies"]
    return {
        "help": [*VERB, "--help"],
        "import": [sys.executable, "-c", TIMED_IMPORT],
        "convert": [*VERB, "convert", str(inputs / "wan"), "OUT"],
        "demo": [*VERB, "demo", "--out", "OUT"],
        f"bench of {num_clips} clips": [*VERB, *bench, "--out", "OUT", "--on-problem", "warn"],
        "tests": [sys.executable, "-m", "pytest", "-q"],
    }


def write_inputs(tree: Path, inputs: Path, num_clips: int) -> None:
    """The base that is converted, its joint model, and the prompts that are benched: the same for both revisions."""
    call(tree, [sys.executable, "-c", WRITE_BASE, str(tree / "tests/tiny.py"), str(inputs / "wan")])
    call(tree, [*VERB, "convert", str(inputs / "wan"), str(inputs / "joint")])
    prompts = [
        {
            "id": f"ball-{i:03d}",
            "text": f"a red ball moves left over the green wheel ({i})",
            "category": "ball",
        }
        for i in range(num_clips)
    ]
    write_text(inputs / "suite.json", json.dumps(prompts))


def seconds(tree: Path, command: list[str]) -> float:
    """Seconds of one run; of the import alone, as the process itself measures it."""
    with tempfile.TemporaryDirectory() as folder:
        words = [str(Path(folder) / "out") if word == "OUT" else word for word in command]
        start = time.perf_counter()
        printed = call(tree, words)
        return float(printed) if TIMED_IMPORT in command else time.perf_counter() - start


def compare(trees: list[Path], command: list[str], rounds: int, warm: bool) -> dict[str, Any]:
    """Seconds of both trees in turn, and their ratio by round."""
    if warm:
        for tree in trees:
            seconds(tree, command)
    taken = [[seconds(tree, command) for tree in trees] for _ in range(rounds)]
    ratios = [after / before for before, after in taken]
    return {
        "before_s": [round(before, 3) for before, _ in taken],
        "after_s": [round(after, 3) for _, after in taken],
        "ratio": {
            "min": round(min(ratios), 3),
            "median": round(statistics.median(ratios), 3),
            "max": round(max(ratios), 3),
        },
    }


def revision_of(tree: Path) -> str:
    """The commit of a tree, with `+` if its files differ."""
    git = ["git", "-C", str(tree)]
    commit = subprocess.run(
        [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True).stdout
    return commit + ("+" if changed else "")


def processor() -> str:
    """The name of the CPU."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def measure(trees: list[Path], args: argparse.Namespace) -> dict[str, Any]:
    """The whole result: machine, versions, revisions, and every measure."""
    for tree in trees:
        found = call(tree, [sys.executable, "-c", "import videojam; print(videojam.__file__)"]).strip()
        if not Path(found).is_relative_to(tree):
            raise SystemExit(f"{tree}: its code is not what is imported, but {found}")
    result: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "before": revision_of(trees[0]),
        "after": revision_of(trees[1]),
        "hardware": {"cpu": processor(), "num_cores": os.cpu_count(), "load": list(os.getloadavg())},
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("torch", "diffusers", "transformers", "typer")},
        "targets_s": TARGETS_S,
        "measures": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        write_inputs(trees[0], Path(folder), args.clips)
        for name, command in commands(Path(folder), args.clips).items():
            if name.split()[0] not in args.only:
                continue
            once = name in ONCE
            row = compare(trees, command, 1 if once else args.rounds, warm=not once)
            if name == "demo":
                row["note"] = DEMO_NOTE
            result["measures"][name] = row
            before, after = (statistics.median(row[f"{side}_s"]) for side in ("before", "after"))
            print(f"{name:<20} {before:8.2f} s → {after:8.2f} s   ratio {row['ratio']}", flush=True)
            write_text(args.out, json.dumps(result, indent=2) + "\n")
    return result


def main() -> None:
    names = ("help", "import", "convert", "demo", "bench")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", help="git revision or folder")
    parser.add_argument("after", help="git revision or folder")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clips", type=int, default=64, help="of the bench")
    parser.add_argument(
        "--only", nargs="+", choices=(*names, "tests"), default=names, help="tests: the suite, once"
    )
    today = datetime.date.today().isoformat()
    default = ROOT / f"benchmarks/results/before_after_{today}.json"
    parser.add_argument("--out", type=Path, default=default)
    args = parser.parse_args()
    if shutil.which("git") is None:
        parser.error("git is needed")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that worktrees go, as on Ctrl-C
    with ExitStack() as stack:
        trees = [stack.enter_context(checkout(revision)) for revision in (args.before, args.after)]
        result = measure(trees, args)
    for name, target in TARGETS_S.items():
        if name in result["measures"]:
            reached = statistics.median(result["measures"][name]["after_s"])
            print(
                f"{name}: {reached:.2f} s, target {target} s: {'reached' if reached <= target else 'missed'}"
            )
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
