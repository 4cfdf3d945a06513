"""How far a stranger has to walk: counts of the source, and the files on the way of one bench run.

    python benchmarks/house.py                                   # of this checkout, as JSON
    python benchmarks/house.py --out benchmarks/results/house.json
    git worktree add ../before 272afd2
    python benchmarks/house.py --tree ../before --name "before: revision 272afd2" --out benchmarks/results/house.json

The way of a bench run is followed by `sys.setprofile`: functions of the package in the order in which they are first
called. Functions of one file in succession are one stay; a stay in a file where the way was before is a return.
"""

from __future__ import annotations

import argparse
import ast
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from videojam.files import write_text

ROOT = Path(__file__).parents[1]
FOLLOW = """
import json, sys
from pathlib import Path
import videojam
from videojam import cli

root, seen, way = str(Path(videojam.__file__).parent), set(), []

def follow(frame, event, argument):
    code = frame.f_code
    if event != "call" or not code.co_filename.startswith(root) or code in seen or code.co_name == "<module>":
        return
    seen.add(code)
    name = code.co_filename.removeprefix(root + "/")
    if not way or way[-1] != name:
        way.append(name)

sys.argv = ["videojam", *sys.argv[1:]]
sys.setprofile(follow)
try:
    cli.run()
except SystemExit as stopped:
    assert not stopped.code, stopped.code
finally:
    sys.setprofile(None)
Path("way.json").write_text(json.dumps(way))
"""
ASKED = {
    "the guidance rule by name": r'\bmode (?:==|!=|in) \(?"(?:inner|cfg|ip2p|auto|none)"',
    "the style of the motion code, outside motion/": r'\bstyle (?:==|!=|in) \(?"',
    "hashlib": r"import hashlib",
    "versions of packages": r"importlib\.metadata|torch\.__version__",
    "suffixes of videos": r'^\w*SUFFIXES = \(\s*"\.mp4"',
}
"""Lines that ask what one place should know, by what they ask."""


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function of a module, inner ones and methods too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def num_parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count what a caller may pass, without `self` and `cls` and without `*args` and `**kwargs`."""
    given = function.args
    names = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def count(package: Path) -> dict[str, Any]:
    """Count lines, functions and words of a package's source."""
    rooms: Counter[str] = Counter()
    lines_of: dict[str, int] = {}
    largest, most, num_any = (0, ""), (0, ""), 0
    asked = dict.fromkeys(ASKED, 0)
    for path in sorted(package.rglob("*.py")):
        text, name = path.read_text(encoding="utf-8"), str(path.relative_to(package))
        lines_of[name] = text.count("\n")
        rooms[name.split("/")[0] if "/" in name else "single modules"] += lines_of[name]
        num_any += len(re.findall(r"\bAny\b", text))
        for what, pattern in ASKED.items():
            if "outside motion/" not in what or not name.startswith("motion/"):
                asked[what] += len(re.findall(pattern, text, re.MULTILINE))
        for function in functions(ast.parse(text)):
            assert function.end_lineno is not None
            largest = max(largest, (function.end_lineno - function.lineno + 1, f"{name}:{function.name}"))
            most = max(most, (num_parameters(function), f"{name}:{function.name}"))
    total = sum(lines_of.values())
    return {
        "lines": total,
        "files": len(lines_of),
        "lines by room": dict(sorted(rooms.items())),
        "files of more than 300 lines": sum(num > 300 for num in lines_of.values()),
        "largest file": max((num, name) for name, num in lines_of.items()),
        "largest function": largest,
        "most parameters": most,
        "Any per 1,000 lines": round(1000 * num_any / total, 1),
        "lines that ask": asked,
    }


def bench_way(source: Path) -> dict[str, Any]:
    """Follow a bench of one arm and one clip through the files.

    Args:
        source: Folder that holds the package.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "prompts.txt").write_text("a warm square moves slowly\n")
        words = "bench run tiny:base,steps=2 --suite prompts.txt --judge proxies --out out --device cpu"
        environment = {**os.environ, "PYTHONPATH": str(source), "HF_HUB_OFFLINE": "1"}
        subprocess.run(
            [sys.executable, "-c", FOLLOW, *words.split(), "--on-problem", "warn"],
            cwd=folder,
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        way = json.loads(Path(folder, "way.json").read_text())
    return {"files": len(set(way)), "stays": len(way), "returns": len(way) - len(set(way))}


def main() -> None:
    """Count one checkout and print or write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tree", type=Path, default=ROOT, help="Checkout to count.")
    parser.add_argument("--name", default="now", help="Of the checkout in the file.")
    parser.add_argument("--out", type=Path, help="JSON file to add to; printed without it.")
    asked = parser.parse_args()
    source = (asked.tree / "src").resolve()
    found = {**count(source / "videojam"), "one bench run": bench_way(source)}
    if asked.out is None:
        print(json.dumps(found, indent=1))
        return
    kept = json.loads(asked.out.read_text(encoding="utf-8")) if asked.out.exists() else {}
    kept |= {"measured": datetime.date.today().isoformat(), asked.name: found}
    write_text(asked.out, json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
