"""One rank of several training runs, one after the other: python ranks_worker.py RECIPE.yaml…, with RANK and so on."""

from __future__ import annotations

import sys

import torch

from videojam.training.run import train


def main() -> None:
    torch.set_num_threads(1)
    for recipe in sys.argv[1:]:
        train(recipe, listen=lambda kind, content: print(kind, content, flush=True))


if __name__ == "__main__":
    main()
