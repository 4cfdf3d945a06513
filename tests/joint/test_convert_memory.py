"""Converting streams: a checkpoint of more than 4 GB, in a process of its own whose peak memory is measured.

Needs 5 GB of disk and some seconds: `pytest -m slow tests/joint/test_convert_memory.py -s` prints the figures.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from tiny_pipelines import write_holes

from videojam.models.tensors import shapes_of_config

GIB = 2**30
CONFIG = {
    "_class_name": "WanTransformer3DModel",
    "num_attention_heads": 24,
    "attention_head_dim": 128,
    "ffn_dim": 14336,
    "num_layers": 13,
    "in_channels": 48,
    "out_channels": 48,
    "patch_size": [1, 2, 2],
}  # the width of Wan 2.2 TI2V-5B, and half of its blocks
CONVERT = """
import resource, sys
from videojam.joint.convert import convert
import diffusers, torch
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
convert(sys.argv[1], sys.argv[2])
print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_the_peak_is_below_the_largest_shard_and_a_gibibyte(tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text(json.dumps(CONFIG))
    write_holes(base, shapes_of_config(CONFIG), 5)
    shards = [file.stat().st_size for file in base.glob("*.safetensors")]
    assert sum(shards) >= 4e9
    command = [sys.executable, "-c", CONVERT, str(base), str(tmp_path / "joint")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, peak = (int(value) * 1024 for value in done.stdout.split())
    print(
        f"checkpoint {sum(shards) / GIB:.2f} GiB, largest shard {max(shards) / GIB:.2f} GiB, "
        f"imports {before / GIB:.2f} GiB, peak {peak / GIB:.2f} GiB"
    )
    assert peak <= max(shards) + GIB
    assert peak - before <= 0.25 * GIB  # it streams by tensor, so the shard's size hardly matters
    written = sum(file.stat().st_size for file in (tmp_path / "joint").glob("*.safetensors"))
    shutil.rmtree(tmp_path / "joint")  # pytest keeps the folders of the last runs
    assert 0 < written - sum(shards) < 10e6
