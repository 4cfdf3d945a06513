"""Runs the official VBench from inside its own environment; called with a request file as its only argument.

It must not import this package, and runs on Python 3.8 or newer.
"""

from __future__ import annotations

import json
import platform
import sys
from importlib import metadata
from pathlib import Path


def main(request_path: str) -> None:
    """Score the clips of a request, then write what was computed with which versions beside the result.

    Args:
        request_path: JSON with clips (folder), out, name, dimensions, device and local.
    """
    import torch
    import vbench

    request = json.loads(Path(request_path).read_text(encoding="utf-8"))
    out = Path(request["out"])
    judge = vbench.VBench(
        torch.device(request["device"]),  # a device: of a string, the package makes another resolution
        str(Path(vbench.__file__).parent / "VBench_full_info.json"),
        str(out),
    )
    judge.evaluate(
        videos_path=request["clips"],
        name=request["name"],
        prompt_list=[],
        dimension_list=request["dimensions"],
        local=request["local"],
        read_frame=False,
        mode="custom_input",
        imaging_quality_preprocessing_mode="longer",
    )
    versions = {name: metadata.version(name) for name in ("vbench", "torch", "torchvision", "numpy")}
    manifest = {"request": request, "python": platform.python_version(), "versions": versions}
    path = out / (request["name"] + "_manifest.json")
    path.write_text(json.dumps(manifest, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
