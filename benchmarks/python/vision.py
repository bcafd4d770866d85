"""Full-size networks on images with random weights, in PyTorch's public libraries and in Java, on the CPU.

`write` makes files in the published layouts, inputs and results; `time` measures one work in PyTorch; `compare` runs
both sides in turn and prints a Markdown table. The Java side is VisionSpeed, which also checks its results.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import NamedTuple

from compare import machine
from environment import torch
from java import CommandFailed, add_options, leave_out_openblas, output, run_java
from torch import Tensor
from vision_networks import NETWORKS, WORKS, Network, built, count, randomise

OURS, THEIRS = SIDES = ("ours", "PyTorch")


class Result(NamedTuple):
    """What both sides print: seconds, and MiB of the process at most while it computes."""

    forward: float
    forward_peak: float
    gradient: float
    gradient_peak: float
    parameters: int


def write(options: argparse.Namespace) -> None:
    """Writes each network with its inputs, outputs and gradients."""
    from safetensors.torch import save_file

    for kind in NETWORKS:
        if not set(kind.works) & set(options.works):
            continue
        torch.manual_seed(options.seed)
        network = built(kind)
        randomise(network.published())
        (options.folder / kind.file).parent.mkdir(parents=True, exist_ok=True)
        network.save(options.folder)
        numbers = count(network.published())
        print(f"{kind.file}: {numbers.parameters:,} parameters in {numbers.tensors} tensors", flush=True)
        for work in kind.works:
            inputs = network.inputs(work)
            tensors = {"output": forward(network, work, inputs)}
            if inputs["input"].is_floating_point():
                tensors["cotangent"] = torch.randn_like(tensors["output"])
                tensors["gradient"] = gradient(network, work, inputs, tensors["cotangent"])
            contiguous = {name: tensor.clone().contiguous() for name, tensor in (inputs | tensors).items()}
            save_file(contiguous, options.folder / f"{work}.safetensors")


@torch.inference_mode()
def forward(network: Network, work: str, inputs: dict[str, Tensor]) -> Tensor:
    return network(work, **inputs)


def gradient(network: Network, work: str, inputs: dict[str, Tensor], cotangent: Tensor) -> Tensor:
    """Of the output's product with the cotangent, with respect to the input."""
    leaf = inputs["input"].detach().requires_grad_()
    (result,) = torch.autograd.grad(network(work, **(inputs | {"input": leaf})), leaf, cotangent)
    return result


def reset_peak() -> None:
    """Starts a new measurement of the process's peak memory (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> float:
    """MiB that the process had in memory at most since the last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def measured(run: Callable[[], object], repetitions: int) -> tuple[float, float]:
    """The median of the seconds after one call to warm up, and the peak."""
    reset_peak()
    seconds = []
    for _ in range(1 + repetitions):
        before = perf_counter()
        run()
        seconds.append(perf_counter() - before)
    return median(seconds[1:]), peak()


def time(options: argparse.Namespace) -> None:
    """Prints the result of one work."""
    from safetensors.torch import load_file

    torch.set_num_threads(options.threads)
    network = built(WORKS[options.work])
    network.load(options.folder)
    stored = load_file(options.folder / f"{options.work}.safetensors")
    inputs = {name: stored[name] for name in ("input", "ids", "mask") if name in stored}
    result = [*measured(lambda: forward(network, options.work, inputs), options.repetitions), 0.0, 0.0]
    if "cotangent" in stored:
        result[2:] = measured(
            lambda: gradient(network, options.work, inputs, stored["cotangent"]), options.repetitions
        )
    print(options.work, *(f"{number:.4f}" for number in result), count(network.published()).parameters)


def once(options: argparse.Namespace, side: str, work: str) -> Result:
    """Starts a process of one side."""
    if side == OURS:
        line = run_java(options, "VisionSpeed", work, options.folder, options.repetitions)
    else:
        command = [sys.executable, __file__, "time", work, str(options.folder)]
        line = output([*command, "--repetitions", str(options.repetitions), "--threads", str(options.threads)])
    print(f"{side}: {line.strip()} (load {os.getloadavg()[0]:.1f})", file=sys.stderr, flush=True)
    *numbers, parameters = line.split()[1:6]
    return Result(*map(float, numbers), int(parameters))


def cells(results: dict[str, list[Result]], field: str) -> list[str]:
    """Both sides' medians, and the median over rounds of the ratio with the smallest and the largest."""
    values = {side: [getattr(result, field) for result in results[side]] for side in SIDES}
    if not any(values[OURS]):
        return ["-"] * 3
    ratios = [theirs / ours for ours, theirs in zip(values[OURS], values[THEIRS])]
    digits = 0 if field.endswith("peak") else 2
    ratio = f"{median(ratios):.2f}" + (f" ({min(ratios):.2f} to {max(ratios):.2f})" if digits else "")
    return [f"{median(values[side]):.{digits}f}" for side in SIDES] + [ratio]


def compare(options: argparse.Namespace) -> None:
    leave_out_openblas(options)
    print(machine(options))
    print("\n| work | ours, s | PyTorch, s | PyTorch / ours | ours, MiB | PyTorch, MiB | PyTorch / ours |")
    print("|---|---:|---:|---|---:|---:|---:|", flush=True)
    for work in options.works:
        results: dict[str, list[Result]] = {side: [] for side in SIDES}
        for number in range(options.rounds):
            for side in SIDES if number % 2 == 0 else reversed(SIDES):
                results[side].append(once(options, side, work))
        for part in ("forward", "gradient"):
            row = [f"{work}, {part}", *cells(results, part), *cells(results, f"{part}_peak")]
            print("|", " | ".join(row), "|", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    writing = commands.add_parser("write", help="write weights, inputs and results; about 6.3 GB")
    timing = commands.add_parser("time", help="measure one work in PyTorch")
    comparing = commands.add_parser("compare", help="measure both sides in turn")
    timing.add_argument("work", choices=list(WORKS))
    for command in (writing, timing, comparing):
        command.add_argument("folder", type=Path)
    for command in (writing, comparing):
        command.add_argument("--works", nargs="+", choices=list(WORKS), default=list(WORKS))
    for command in (timing, comparing):
        command.add_argument("--repetitions", type=int, default=3, help="timed repetitions per process; default: 3")
    writing.add_argument("--seed", type=int, default=1)
    timing.add_argument("--threads", type=int, default=2)
    comparing.add_argument("--rounds", type=int, default=2)
    add_options(comparing)
    options = parser.parse_args(arguments)
    try:
        {"write": write, "time": time, "compare": compare}[options.command](options)
    except CommandFailed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
