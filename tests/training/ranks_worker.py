"""One rank of several training runs, one after the other: python ranks_worker.py RECIPE.yaml…, with RANK and so on."""

from __future__ import annotations

import os
import sys

import torch

from videojam.sampling import verify
from videojam.training.run import train


def main() -> None:
    torch.set_num_threads(1)
    if os.environ["RANK"] != "0":
        verify.load_for_fingerprint = None  # the first process verifies, and the others hear of it
    for recipe in sys.argv[1:]:
        report = train(recipe, listen=lambda kind, content: print(kind, content, flush=True))
        print("verified", report.model_dump_json(), flush=True)


if __name__ == "__main__":
    main()
