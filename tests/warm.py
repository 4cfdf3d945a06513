"""Processes that start at once: forks of one that has imported torch and diffusers, and nothing of this package.

Importing diffusers takes seconds of CPU; a test that needs a process of its own needs them only once in a session.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

SERVER = """
import gc, json, os, sys, traceback
gc.disable()
import torch.distributed.checkpoint.state_dict, torch.distributed.fsdp
from diffusers import WanPipeline, WanTransformer3DModel
from transformers import UMT5EncoderModel

torch.set_num_threads(1)
assert "videojam" not in sys.modules
gc.freeze()  # no child looks at all that again
gc.enable()
for line in sys.stdin:
    request, children = json.loads(line), []
    for number, environment in enumerate(request["environments"]):
        child = os.fork()
        if child:
            children.append(child)
            continue
        code = 1
        try:
            out = os.open(request["outputs"][number], os.O_WRONLY | os.O_CREAT)
            os.dup2(out, 1)
            os.dup2(out, 2)
            os.environ |= environment
            sys.path[:0] = request["path"]
            sys.argv = request["argv"]
            exec(compile(request["code"], sys.argv[0], "exec"), {"__name__": "__main__"})
            code = 0
        except SystemExit as stopped:
            code = stopped.code or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]), flush=True)
"""


class Done(NamedTuple):
    """How a process ended.

    Attributes:
        returncode: 0 if it went well.
        output: What it printed, errors too.
    """

    returncode: int
    output: str


class WarmPython:
    """Starts the process on first use.

    Args:
        folder: For what the children print.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._num, self._server = folder, 0, None

    def run(
        self, code: str, *arguments: object, environments: Sequence[Mapping[str, str]] = ({},)
    ) -> list[Done]:
        """Run code in processes of their own, one for each environment, at the same time.

        Args:
            code: As of a script.
            arguments: Its `sys.argv[1:]`.
            environments: What is added to the environment of each.
        """
        if self._server is None:
            command = [sys.executable, "-c", SERVER]
            self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._num += 1
        outputs = [self._folder / f"{self._num}-{number}.txt" for number in range(len(environments))]
        request = {
            "code": code,
            "argv": ["warm.py", *map(str, arguments)],
            "path": [path for path in sys.path if path],
            "environments": [dict(environment) for environment in environments],
            "outputs": [str(output) for output in outputs],
        }
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        codes = json.loads(self._server.stdout.readline())
        return [Done(code, output.read_text()) for code, output in zip(codes, outputs, strict=True)]

    def close(self) -> None:
        """End the process."""
        if self._server is not None:
            self._server.stdin.close()
            self._server.wait(timeout=30)
