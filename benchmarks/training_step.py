"""Speed of a training step: bfloat16, the memory format of images, and keeping freed memory, one after the other.

    python -m benchmarks.training_step [--seconds 15]

Each row adds one thing to the row before, so that it shows what is worth its place on this machine. Each is measured in
a process of its own, because the memory of a process cannot be set back. Images are random, without augmentation.
"""

import argparse
import json
import subprocess
import sys
import time

import torch
from torch import nn

from benchmarks.results import write
from malaria_detect.designs.registry import find_network
from malaria_detect.training.allocator import keep_freed_memory
from malaria_detect.training.precision import in_bfloat16

# Designs, image sizes and batches as in their training.
DESIGNS = (("resnet34", 96), ("resnet18-scratch-110", 110), ("keras-cnn-128", 128))
STEPS = {
    "plain": (),
    "bfloat16": ("bfloat16",),
    "bfloat16, channels last": ("bfloat16", "channels_last"),
    "bfloat16, channels last, freed memory kept": ("bfloat16", "channels_last", "kept"),
    "bfloat16, freed memory kept": ("bfloat16", "kept"),
}


def cells_per_second(name: str, size: int, parts: tuple[str, ...], seconds: float) -> float:
    """Cells per second of training steps of a design, after one that is not counted."""
    if "kept" in parts:
        keep_freed_memory()
    design = find_network(name)
    network = design.start("none").network
    order = torch.channels_last if "channels_last" in parts else torch.contiguous_format
    network = network.to(memory_format=order)
    batch = design.settings().batch_size
    images = torch.randn(batch, 3, size, size).contiguous(memory_format=order)
    labels = torch.randint(0, 2, (batch,))
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9)

    def step() -> None:
        loss = nn.functional.cross_entropy(network(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def measured() -> float:
        step()
        began, steps = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            step()
            steps += 1
        return steps * batch / (time.perf_counter() - began)

    if "bfloat16" not in parts:
        return measured()
    with in_bfloat16(network, torch.device("cpu")):
        return measured()


def main() -> None:
    """Measure all rows, and write them with their ratios to the plain one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--one", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, size, *parts = options.one
        print(json.dumps(cells_per_second(name, int(size), tuple(parts), options.seconds)))
        return
    rows = []
    for name, size in DESIGNS:
        plain = 0.0
        for what, parts in STEPS.items():
            command = [sys.executable, "-m", "benchmarks.training_step", "--seconds", str(options.seconds)]
            done = subprocess.run(
                [*command, "--one", name, str(size), *parts], stdout=subprocess.PIPE, check=True, text=True
            )
            speed = json.loads(done.stdout.splitlines()[-1])
            plain = plain or speed
            rows.append(
                {
                    "design": name,
                    "size": size,
                    "what": what,
                    "cells_per_s": round(speed, 1),
                    "ratio": round(speed / plain, 2),
                }
            )
            print(f"{name} at {size} px, {what}: {speed:.1f} cells/s, {speed / plain:.2f} times", flush=True)
    write("training-step.json", {"rows": rows})


if __name__ == "__main__":
    main()
