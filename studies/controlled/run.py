"""The controlled study of docs/when-the-premise-fails.md, stage by stage; a stage that is done is not done again.

    python -m studies.controlled.run [--point plain] [--minutes 8] [--until arms-0]

Every stage is a command of this project that resumes by itself, so stopping at any time loses minutes at most.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from studies.controlled.scales import chosen_scales
from videojam.files import write_text
from videojam.world import KINDS, sample_caption

SEEDS = (0, 1, 2)
CLUTTER = {"plain": 0, "clutter": 12}
CLIPS_PER_KIND = 64
TEXT_SCALES = {"plain": (1.0, 2.0, 3.0, 5.0), "clutter": (1.0, 2.0, 3.0)}
MOTION_SCALES = {"plain": (0.5, 1.0, 2.0), "clutter": (0.5, 1.0)}
CLUTTER_ARMS = (
    "base",
    "control",
    "videojam-cfg",
    "videojam",
)  # the second point asks the main question alone
CLUTTER_BASE = {"num_steps": 4000, "validate_every": 500}  # from the mature base of `plain`
# One change each to VideoJAM's recipe, on seed 0 of `plain`; the control beside the longer run is as long.
CHANGES: dict[str, dict[str, float | str]] = {
    "longer": {"num_steps": 6000},
    "new-rate-1": {"optimizer.new_rate_factor": 1},
    "lambda-0.2": {"objective.motion_weight": 0.2},
    "lambda-decays": {"objective.motion_weight_end": 0},
    "padding-last": {"motion.padding": "last"},
    "paper-code": {"motion.scale": 0.15, "motion.curve": "linear"},
}
PROBES = {"plain": {"permutation": 64, "noising": 16}, "clutter": {"permutation": 64}}  # clips of each
BATCH_SIZE = 5
NUM_RANKS = 2  # processes that share a bench's clips, one thread each
RESULTS = Path("benchmarks/results/study")
TUNING_SEED, TUNING_PER_KIND = 60_000_000, 16  # scenes that no recipe, suite or measurement uses
VIDEOJAM = Path(sys.executable).with_name("videojam")


Command = list[str | Path]


class Stage(NamedTuple):
    """Groups of commands, one group after another; and the files that are there once they are done.

    A stage without files runs: it gathers what others wrote, in seconds, or is a bench that lacks an arm.
    """

    name: str
    groups: list[list[Command]]
    done: list[Path]

    @property
    def is_done(self) -> bool:
        """Whether all files are there."""
        return bool(self.done) and all(file.exists() for file in self.done)

    def run(self, deadline: float | None) -> None:
        """Run to the end, or until the deadline (subprocess.TimeoutExpired); the commands of a group run at once."""
        for commands in self.groups:
            threads = {"OMP_NUM_THREADS": "1"} if len(commands) > 1 else {}
            processes = [subprocess.Popen([*map(str, c)], env=os.environ | threads) for c in commands]
            try:
                for process in processes:
                    if process.wait(deadline and max(0.0, deadline - time.monotonic())):
                        raise subprocess.CalledProcessError(process.returncode, process.args)
            finally:
                for process in processes:
                    process.terminate()
                    process.wait()


def single(name: str, command: Command, done: Path) -> Stage:
    """A stage of one command."""
    return Stage(name, [[command]], [done])


def at_once(name: str, stages: list[Stage]) -> Stage:
    """Stages of one command each, side by side: small networks use one core better than many."""
    commands = [command for stage in stages for group in stage.groups for command in group]
    return Stage(name, [commands], [file for stage in stages for file in stage.done])


def module(name: str, *arguments: str | Path) -> Command:
    return [sys.executable, "-m", f"studies.{name}", *arguments]


def train(recipe: str, point: str, out: Path, base: Path, **changes: float | str) -> Stage:
    settings = {
        "base": base, "out": out, "data.cache": out.parent / "cache",
        "data.source.world.clutter": CLUTTER[point], **changes,
    }  # fmt: skip
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    command: Command = [VIDEOJAM, "train", f"recipes/tiny/{recipe}.yaml", *options]
    return single(out.name, command, out / "model/model_index.json")


def bench(name: str, out: Path, suite: str | Path, arms: dict[str, str], limit: int | None = None) -> Stage:
    """Share the clips between processes, then write the report; done when that has every arm."""
    limits = ["--limit", str(limit)] if limit else []
    specs = [f"{arm}={spec}" for arm, spec in arms.items()]
    options = ["--suite", suite, "--judge", "world", "--batch-size", str(BATCH_SIZE), "--dtype", "bfloat16"]
    whole: Command = [VIDEOJAM, "bench", "run", *specs, "--out", out, *options, *limits]
    ranks = [[*whole, "--rank", str(rank), "--num-ranks", str(NUM_RANKS)] for rank in range(NUM_RANKS)]
    report: Command = [VIDEOJAM, "bench", "report", "--out", out, "--on-problem", "warn"]
    results = out / "results.json"
    has_all = results.exists() and arms.keys() <= json.loads(results.read_text())["table"].keys()
    return Stage(name, [ranks, [report]], [results] if has_all else [])


def tuning_suite(root: Path) -> Path:
    """The prompts on which scales are chosen, each once, written as a suite of the bench."""
    prompts: list[dict[str, str]] = []
    for kind in KINDS:
        seeds = range(TUNING_SEED, TUNING_SEED + 20 * TUNING_PER_KIND)
        texts = list(dict.fromkeys(sample_caption(seed, kind=kind) for seed in seeds))[:TUNING_PER_KIND]
        prompts += [{"id": f"{kind}-{i:02d}", "text": text, "category": kind} for i, text in enumerate(texts)]
    return write_text(root / "tuning_prompts.json", json.dumps(prompts, indent=1) + "\n")


def grid_arms(point: str, runs: Path, base: Path) -> dict[str, str]:
    """Every scale of every arm, with seed 0's weights: what `scales.chosen_scales` chooses from."""
    text_scales = TEXT_SCALES[point]
    models = {"base": base, "control": runs / "control-0/model"}
    joint = runs / "videojam-0/model"
    arms = {
        f"{name}-w{w:g}": f"{model},mode=cfg,w_text={w:g}"
        for name, model in models.items() for w in text_scales
    }  # fmt: skip
    arms |= {f"videojam-cfg-w{w:g}": f"{joint},mode=cfg,w_text={w:g}" for w in text_scales}
    return arms | {
        f"videojam-w{w:g}-m{m:g}": f"{joint},mode=inner,window=all,w_text={w:g},w_motion={m:g}"
        for w in text_scales for m in MOTION_SCALES[point]
    }  # fmt: skip


def study_arms(runs: Path, base: Path, seed: int, scales: dict[str, dict[str, float]]) -> dict[str, str]:
    """The arms of one fine-tune seed at their own best scales and at the paper's; the base goes with seed 0."""
    joint, control = runs / f"videojam-{seed}/model", runs / f"control-{seed}/model"
    own = {name: ",".join(f"{key}={value:g}" for key, value in best.items()) for name, best in scales.items()}
    arms = {
        "control": f"{control},mode=cfg,{own['control']}",
        "videojam-cfg": f"{joint},mode=cfg,{own['videojam-cfg']}",
        "videojam": f"{joint},mode=inner,window=all,{own['videojam']}",
        "videojam-w1-0": f"{joint},mode=inner,window=all,w_text=0,w_motion={scales['videojam']['w_motion']:g}",
        "videojam-no-flow": f"{joint},mode=cfg,drop_motion=true,{own['videojam-cfg']}",
        "videojam-ip2p": f"{joint},mode=ip2p,window=all,{own['videojam']}",
        "control-paper": f"{control},mode=cfg,w_text=5",
        "videojam-paper": f"{joint},mode=inner,window=all,w_text=5,w_motion=3",
    }
    if seed == 0:
        arms |= {
            "base": f"{base},mode=cfg,{own['base']}",
            "base-paper": f"{base},mode=cfg,w_text=5",
        }
        arms["videojam-w2-0"] = f"{joint},mode=cfg,w_text={scales['videojam']['w_text']:g}"
        for share in (0.3, 0.5, 0.6):
            arms[f"videojam-t{share:g}"] = f"{joint},mode=inner,window=t:0-{share:g},{own['videojam']}"
        arms["videojam-reuse"] = f"{joint},mode=inner,window=all,reuse_every=2,{own['videojam']}"
        arms["videojam-appearance"] = f"{joint},mode=inner,window=all,motion_on=appearance,{own['videojam']}"
    return arms


def change_arms(runs: Path, scales: dict[str, dict[str, float]]) -> dict[str, str]:
    """Each changed fine-tune without and with Inner-Guidance, at the scales of seed 0 of the study.

    The longer control stands beside each: at a control's own best scale, and at that of VideoJAM without w2.
    """
    zero = study_arms(runs, Path(), 0, scales)
    arms = {
        f"{name}{arm.removeprefix('videojam')}": zero[arm].replace("videojam-0", f"change-{name}")
        for name in CHANGES for arm in ("videojam-cfg", "videojam")
    }  # fmt: skip
    control = "change-longer-control"
    return arms | {
        "longer-control": zero["control"].replace("control-0", control),
        "longer-control-same-w1": zero["videojam-cfg"].replace("videojam-0", control),
    }


def stages(point: str, root: Path) -> Iterator[Stage]:
    """The stages of one point of the world, in order; a later one is built from what earlier ones wrote."""
    yield from trained(point, root)
    yield from benched(point, root)
    if point == "plain":
        yield from changed(root)
    yield from probed(point, root)
    yield Stage("report", [[module("controlled.report", root / point, RESULTS / point)]], [])
    if point == "clutter":
        yield Stage("points", [[module("controlled.points", RESULTS)]], [])


def base_of(point: str, root: Path) -> Path:
    return root / point / "base_muon/model"


def trained(point: str, root: Path) -> Iterator[Stage]:
    """Autoencoder and base, then a control and a VideoJAM of each seed."""
    vae, plain, runs = root / "vae", root / "plain", root / point
    yield single("vae", module("tiny.train_vae", vae), vae / "vae/config.json")
    if point == "plain":
        init = plain / "init"
        yield single("init", module("tiny.build_base", vae / "vae", init), init / "model_index.json")
        yield train("base", point, plain / "base", init)
        yield train("base_muon", point, plain / "base_muon", plain / "base/model")
    else:
        yield train("base_muon", point, runs / "base_muon", base_of("plain", root), **CLUTTER_BASE)
    base = base_of(point, root)
    for seed in SEEDS:
        pair = [train(n, point, runs / f"{n}-{seed}", base, seed=seed) for n in ("control", "videojam")]
        yield at_once(f"seed-{seed}", pair)


def scales_of(point: str, root: Path) -> dict[str, dict[str, float]]:
    return chosen_scales(json.loads((root / point / "grid/results.json").read_text()))


def benched(point: str, root: Path) -> Iterator[Stage]:
    """The grid that chooses each arm's scales, then the arms of each seed."""
    runs, base = root / point, base_of(point, root)
    yield bench("grid", runs / "grid", tuning_suite(root), grid_arms(point, runs, base))
    scales = scales_of(point, root)
    for seed in SEEDS:
        arms = study_arms(runs, base, seed, scales)
        if point == "clutter":
            arms = {name: spec for name, spec in arms.items() if name in CLUTTER_ARMS}
        yield bench(f"arms-{seed}", runs / f"arms-{seed}", "world", arms, CLIPS_PER_KIND)


def changed(root: Path) -> Iterator[Stage]:
    """The single changes, at `plain`: fine-tunes, two at once, and their bench."""
    runs, base = root / "plain", base_of("plain", root)
    tunes = [train("videojam", "plain", runs / f"change-{n}", base, **c) for n, c in CHANGES.items()]
    tunes.insert(1, train("control", "plain", runs / "change-longer-control", base, **CHANGES["longer"]))
    for i in range(0, len(tunes), 2):
        two = tunes[i : i + 2]
        yield at_once(" and ".join(stage.name for stage in two), two)
    arms = change_arms(runs, scales_of("plain", root))
    yield bench("changes", runs / "changes", "world", arms, CLIPS_PER_KIND)


def probed(point: str, root: Path) -> Iterator[Stage]:
    """What a point asks of its base, the paper's probes of three models, its clips, and w* of each joint model."""
    runs, out, base = root / point, RESULTS / point, base_of(point, root)
    clutter = ("--clutter", str(CLUTTER[point]))
    worlds = module("controlled.worlds", base, "--out", out / "worlds.json", *clutter)
    yield single("worlds", worlds, out / "worlds.json")
    models = {"base": base} | {name: runs / f"{name}-0/model" for name in ("control", "videojam")}
    for probe, clips in PROBES[point].items():
        files = {name: out / f"{probe}-{name}.json" for name in models}
        for name, model in models.items():
            data = [f"world:{clips}", "--texture", "0", *clutter]
            command: Command = [VIDEOJAM, "probe", probe, model, *data, "--out", files[name]]
            yield single(f"{probe}-{name}", command, files[name])
        labels = [part for name in models for part in ("--label", name)]
        plot: Command = [VIDEOJAM, "probe", "plot", *files.values(), *labels, "--out", out / f"{probe}.png"]
        yield single(f"{probe}-plot", plot, out / f"{probe}.png")
    picture = module("controlled.picture", base, runs / "arms-0", out / "clips.png", *clutter)
    yield single("clips", picture, out / "clips.png")
    joint = [f"videojam-{seed}" for seed in SEEDS]
    for name in joint + [f"change-{name}" for name in CHANGES if point == "plain"]:
        file = out / f"direction-{name}.json"
        command = module("controlled.direction", runs / name / "model", "--out", file, *clutter)
        yield single(f"direction-{name}", command, file)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--point", choices=list(CLUTTER), nargs="+", default=list(CLUTTER))
    parser.add_argument("--runs", type=Path, default=Path("runs/study"))
    parser.add_argument("--minutes", type=float, help="stop by itself after this time; run again to go on")
    parser.add_argument("--until", help="last stage to run, as 'base' or 'arms-0'")
    args = parser.parse_args()
    deadline = time.monotonic() + 60 * args.minutes if args.minutes else None
    for point in args.point:
        for stage in stages(point, args.runs):
            if not stage.is_done:
                print(f"[{point}] {stage.name}", flush=True)
                try:
                    stage.run(deadline)
                except subprocess.TimeoutExpired:
                    raise SystemExit(f"{args.minutes:g} minutes are over; run again to go on") from None
                except subprocess.CalledProcessError as error:
                    raise SystemExit(f"stage {stage.name} of {point} failed; see above") from error
            if stage.name == args.until:
                break


if __name__ == "__main__":
    main()
