"""All stages in one process, for a machine that is lent by the minute: imports and compilation are paid once.

    python -m studies.premise.call --out RUN --minutes 6 --base-steps 2000 --arm-minutes 3

What a lent machine gives back is few files: they are copied to `--back` after each stage.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tarfile
import time
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from studies.premise.arms import ARMS, CURVE_RULES, train_fine_tunes
from studies.premise.arms_sampled import rules_of, sample_model
from studies.premise.base import train_base
from studies.premise.gates import gates
from studies.premise.run import STARTED, Run, arguments, config_of
from studies.premise.train import Plan
from videojam.files import write_tensors

MAX_WEIGHT_FILES = 4
MAX_BYTES, MAX_TOTAL, MAX_HEADER = 15 * 2**20, 45 * 2**20, 2**18
"""Of a file that is given back, of all weights together, and of a file's header."""


def call(run: Run, options: argparse.Namespace) -> None:
    """Gates; a base unless one is there; arms of each seed; their clips."""
    compiled = not options.no_compile
    found = options.no_gates or (run.folder / "gates.json").exists()
    run.log(f"{run.device}, " + ("gates as found" if found else json.dumps(gates(run, options.clips))))
    pack(run, options.back)
    if not (run.folder / "base.safetensors").exists():
        plan = Plan(options.base_minutes, options.base_steps, 4, log=run.log, snapshots=tuple(options.young))
        plan.num_clips = min(plan.num_clips, options.clips)
        train_base(run, plan, compiled, options.held_out)
        pack(run, options.back)
    sampled = []
    for seed in options.seeds:
        left = options.minutes - (time.monotonic() - STARTED) / 60
        minutes = min(options.arm_minutes, left - options.sample_minutes)
        if minutes < options.arm_minutes / 4:
            run.log(f"seed {seed}: not trained, {left:.1f} minutes are left")
            continue
        plan = Plan(
            minutes, options.arm_steps, options.measures, CURVE_RULES, snapshot_share=1 / 3, log=run.log
        )
        plan.num_clips = min(plan.num_clips, options.clips)
        train_fine_tunes(run, options.from_base, options.arms, seed, plan, compiled, options.held_out)
        sampled += [f"{name}.{options.from_base}.s{seed}" for name in options.arms]
        pack(run, options.back)
    for noise_seed in options.noise:
        for name in [*sampled, "base"]:
            sample_model(run, name, rules_of(run, name, options.rules), options.clips, noise_seed)
            pack_results(run, options.back)  # a machine may be taken back at any time
        pack(run, options.back)


def pack(run: Run, back: Path | None) -> None:
    """Copy weights, clips, and a tar of everything small, to where files are given back from."""
    if back is None:
        return
    pack_results(run, back)
    weights = [
        f for f in run.folder.glob("*.safetensors") if not f.stem.endswith((".state", ".clips", ".flags"))
    ]
    weights = sorted(weights, key=lambda file: file.stat().st_mtime)
    wanted = [f for f in weights if not f.stem.split("-")[-1].isdigit() or f.stem.startswith("base")]
    wanted = wanted[:MAX_WEIGHT_FILES]
    while sum(size_given_back(file) for file in wanted) > MAX_TOTAL:
        run.log(f"not given back, for its size: {wanted.pop(0).name}")
    for file in wanted:
        copy_in_parts(file, back)
    with tarfile.open(back / "clips.tar.gz", "w:gz") as archive:
        for file in sorted(run.folder.glob("*.clips.safetensors")):
            archive.add(file, file.name)
    shutil.copy2(run.folder / "log.txt", back / "log.txt")  # once more, with what was not given back


def pack_results(run: Run, back: Path | None) -> None:
    """Copy the log, and a tar of curves and verdicts: little enough to be copied often."""
    if back is None:
        return
    back.mkdir(parents=True, exist_ok=True)
    small = [*run.folder.glob("*.json*"), *run.folder.glob("*.flags.safetensors")]
    with tarfile.open(back / "results.tar", "w") as archive:
        for file in sorted(small):
            archive.add(file, file.name)
    shutil.copy2(run.folder / "log.txt", back / "log.txt")


def size_given_back(file: Path) -> int:
    """Return the bytes that weights take where they are given back."""
    size = file.stat().st_size
    return size if size <= MAX_BYTES else size // 2


def copy_in_parts(file: Path, back: Path) -> None:
    """Copy weights; those above `MAX_BYTES` go in half precision, in files of at most so many bytes.

    The parts are `NAME.part0.safetensors` and so on, each with some of the tensors.
    """
    if file.stat().st_size <= MAX_BYTES:
        shutil.copy2(file, back / file.name)
        return
    part: dict[str, Tensor] = {}
    number = size = 0
    for name, tensor in load_file(file).items():
        half = tensor.half()
        if part and size + half.nbytes > MAX_BYTES - MAX_HEADER:
            write_tensors(back / f"{file.stem}.part{number}.safetensors", part)
            part, number, size = {}, number + 1, 0
        part[name], size = half, size + half.nbytes
    write_tensors(back / f"{file.stem}.part{number}.safetensors", part)


def parser_of() -> argparse.ArgumentParser:
    """Return what the call takes."""
    parser = arguments("All stages in one process.")
    parser.add_argument("--back", type=Path, help="Folder of the files to give back.")
    parser.add_argument("--base-minutes", type=float, default=2.0)
    parser.add_argument("--base-steps", type=int)
    parser.add_argument("--young", type=int, nargs="*", default=[])
    parser.add_argument("--from-base", default="base", help="Base or snapshot that arms start from.")
    parser.add_argument("--arms", nargs="*", default=["control", "joint"], choices=list(ARMS))
    parser.add_argument("--arm-minutes", type=float, default=3.0)
    parser.add_argument("--arm-steps", type=int)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1])
    parser.add_argument("--sample-minutes", type=float, default=1.0, help="Kept free for sampling.")
    parser.add_argument("--noise", type=int, nargs="*", default=[0], help="Seeds of the sampling noise.")
    parser.add_argument("--measures", type=int, default=12, help="Points of the arms' learning curves.")
    parser.add_argument("--clips", type=int, default=512)
    parser.add_argument("--held-out", type=int, default=512, help="Clips on which losses are measured.")
    parser.add_argument("--rules", nargs="*", metavar="NAME", help="e.g. w1=3_w2=2; others are left out.")
    parser.add_argument("--no-gates", action="store_true", help="Don't measure the gates.")
    return parser


def main() -> None:
    """Run all stages."""
    options = parser_of().parse_args()
    call(Run(options.out, config_of(options.set)), options)


if __name__ == "__main__":
    main()
