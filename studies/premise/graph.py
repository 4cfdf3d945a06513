"""The fastest way in which a device runs an arm's step: compiled, and captured as one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch

from studies.premise.arm import Arm
from studies.premise.meter import Marks
from videojam.families.stock import Transformer

NUM_WARM = 4
NUM_MARKED = 200
"""Steps by which the use of the device is measured."""


class Runner:
    """Runs an arm's steps on a stream of its own, so that several arms share a GPU.

    Attributes:
        how: In words, how the step is run: eager, captured, compiled and captured.
        marks: On a GPU, begin and end of the first steps, by events.
    """

    def __init__(self, arm: Arm, compiled: bool, say: Callable[[str], None] = print) -> None:
        """Warm the step up and capture it; what doesn't work on this machine is said and done without."""
        self.arm, self.how = arm, "eager"
        self.marks: list[Marks] = []
        model = cast(Transformer, arm.model)
        self._run: Callable[[], None] = arm.step
        if arm.bed.device.type != "cuda":
            return
        self.stream = torch.cuda.Stream()
        kept = {name: value.clone() for name, value in arm.state()}
        num_steps = arm.num_steps
        if compiled:
            try:
                # block by block: one compilation serves every block of every arm
                torch._dynamo.config.recompile_limit = 64
                model.compile_repeated_blocks(dynamic=False)
                self._warm()
                self.how = "compiled"
            except Exception as error:  # a compiler fails in many ways; eager does the same, slower
                say(f"{arm.config.name}: not compiled ({type(error).__name__}: {str(error)[:300]})")
                for block in model.blocks:
                    block._compiled_call_impl = None
        try:
            self._run = self._captured()
            self.how += " and captured"
        except Exception as error:
            say(f"{arm.config.name}: not captured ({type(error).__name__}: {str(error)[:300]})")
            self._run = arm.step
            arm.draws_x, arm.draws_d = (torch.Generator(arm.bed.device) for _ in range(2))
        torch.cuda.synchronize()
        arm.load_state(kept)
        torch.cuda.synchronize()  # the copies are on another stream than the steps
        arm.num_steps = num_steps

    def advance(self, rate: float) -> None:
        """Do one step; on a GPU it is queued."""
        if self.arm.bed.device.type != "cuda":
            self.arm.set_step(self.arm.num_steps, rate)
            self._run()
        else:
            with torch.cuda.stream(self.stream):
                begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                begin.record()
                self.arm.set_step(self.arm.num_steps, rate)
                self._run()
                end.record()
            if len(self.marks) < NUM_MARKED:
                self.marks.append((begin, end))
        self.arm.num_steps += 1

    def _warm(self) -> None:
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            for _ in range(NUM_WARM):
                self.arm.set_step(0, 0.0)
                self.arm.step()
        torch.cuda.synchronize()

    def _captured(self) -> Callable[[], None]:
        self._warm()
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.arm.draws_x)
        graph.register_generator_state(self.arm.draws_d)
        self.arm.set_step(0, 0.0)
        self.arm.model.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        with torch.cuda.graph(graph, stream=self.stream):
            self.arm.step()
        return graph.replay
