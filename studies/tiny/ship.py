"""Copy the trained pipelines of runs/tiny into the package: the base whole, of the others what differs.

    python -m studies.tiny.ship [--runs runs/tiny]

Into benchmarks/results/tiny_runs go the log, the curve and the run.json (recipe, versions, revision) of each run.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import matplotlib
import torch
from safetensors.torch import load_file, save_file

from videojam.models.record import load_record, save_record
from videojam.tiny import PACKAGE_FOLDER, PREFIX, TINY_NAMES

matplotlib.use("Agg")
from matplotlib import pyplot as plt

LIMIT_MB = 30  # see CONTRIBUTING, "What ships"
RUNS = {"base": "base_muon", "control": "control", "videojam": "videojam"}
EVIDENCE = ("base", "base_muon", "control", "videojam")
SHARED = ("vae", "text_encoder", "tokenizer", "scheduler")


def ship(run: Path, name: str) -> None:
    target = PACKAGE_FOLDER / name
    shutil.rmtree(target, ignore_errors=True)
    ignored = shutil.ignore_patterns(*(() if name == "base" else (*SHARED, "model_index.json")))
    shutil.copytree(run / "model", target, ignore=ignored)

    record = load_record(target)
    if record is not None:  # the base that ships beside it, not the folder of this machine
        save_record(record.model_copy(update={"base": f"{PREFIX}base"}), target)


def ship_decoder(vae: Path) -> None:
    """Put the autoencoder's decoder into the base: it may have learnt on since the base was built from it.

    Its encoder must not have: the transformers know its latents.
    """
    path = PACKAGE_FOLDER / "base/vae/diffusion_pytorch_model.safetensors"
    shipped = load_file(path)
    now = {key: tensor.to(shipped[key].dtype) for key, tensor in load_file(vae / path.name).items()}
    for key, tensor in shipped.items():
        if key.startswith(("encoder.", "quant_conv.")) and not torch.equal(tensor, now[key]):
            raise SystemExit(f"{vae}: {key} is not what the base was trained on")
    save_file(now, path, metadata={"format": "pt"})


def keep_evidence(run: Path, name: str, out: Path) -> None:
    shutil.copy2(run / "log.jsonl", out / f"{name}.log.jsonl")
    facts = json.loads((run / "run.json").read_text())
    (out / f"{name}.run.json").write_text(json.dumps(facts, indent=2) + "\n")


def plot_curves(out: Path) -> None:
    figure, axes = plt.subplots(1, len(EVIDENCE), figsize=(16, 3.6), layout="constrained")
    for axis, name in zip(axes, EVIDENCE, strict=True):
        lines = [json.loads(line) for line in (out / f"{name}.log.jsonl").read_text().splitlines()]
        for half, colour in (("appearance", "tab:blue"), ("motion", "tab:orange")):
            rows = [line for line in lines if half in line]
            axis.plot([r["step"] for r in rows], [r[half] for r in rows], color=colour, alpha=0.35)
            for t, style in ((0.3, "-"), (0.7, "--")):
                key = f"heldout_{half}@{t:g}"
                rows = [line for line in lines if key in line]
                if rows:
                    label = f"{half}, held out at t={t:g}"
                    axis.plot(
                        [r["step"] for r in rows],
                        [r[key] for r in rows],
                        style,
                        color=colour,
                        marker=".",
                        label=label,
                    )
        axis.set(title=name, xlabel="step", ylabel="squared error", yscale="log")
        axis.legend(fontsize=7)
    figure.savefig(out / "curves.png", dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/tiny"))
    args = parser.parse_args()
    evidence = Path("benchmarks/results/tiny_runs")
    evidence.mkdir(parents=True, exist_ok=True)
    for name in TINY_NAMES:
        ship(args.runs / RUNS[name], name)
    for name in EVIDENCE:
        keep_evidence(args.runs / name, name, evidence)
    ship_decoder(args.runs / "vae/vae")
    shutil.copy2(args.runs / "vae" / "log.jsonl", evidence / "vae.log.jsonl")
    plot_curves(evidence)
    size = sum(f.stat().st_size for f in PACKAGE_FOLDER.rglob("*") if f.is_file()) / 1e6
    print(f"{size:.1f} MB of {LIMIT_MB}")
    if size > LIMIT_MB:
        raise SystemExit(f"the shipped pipelines are {size:.1f} MB, more than {LIMIT_MB}")


if __name__ == "__main__":
    main()
