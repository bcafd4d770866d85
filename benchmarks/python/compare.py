"""Times the same work in Java and in PyTorch, eager and compiled, in turn, and prints one Markdown table per size.

Each round starts a process of every side for every work; the next round starts them in reverse order.
"""

import argparse
import os
import platform
import sys
from pathlib import Path
from statistics import median

from environment import torch
from java import CommandFailed, add_options, leave_out_openblas, output, run_java

SIZES = ("tiny", "s2", "b2")
WORKS = {
    "flow": "flow-matching step",
    "mfm": "MeanFlow step",
    "draws": "posterior draw of a batch",
    "steer": "two steered steps, 4 draws each",
}
OURS, EAGER, COMPILED = SIDES = ("ours", "eager", "compiled")
Rounds = list[list[float]]


def timed(options: argparse.Namespace, side: str, size: str, work: str) -> list[float]:
    """Runs one process and returns the milliseconds of its repetitions."""
    if side == OURS:
        line = run_java(options, "CpuSpeed", size, work, options.repetitions)
    else:
        script = str(Path(__file__).with_name("work.py"))
        command = [sys.executable, script, size, work, str(options.repetitions), "--threads", str(options.threads)]
        line = output(command + (["--compile"] if side == COMPILED else []))
    return [float(word) for word in line.split()[2:]]


def rounds(options: argparse.Namespace, size: str, work: str) -> dict[str, Rounds]:
    """Returns the times of each side, by round; without a side that fails, such as a compiled one without compiler."""
    times: dict[str, Rounds] = {side: [] for side in options.sides}
    for number in range(options.rounds):
        for side in list(times) if number % 2 == 0 else list(reversed(times)):
            try:
                times[side].append(timed(options, side, size, work))
            except CommandFailed as error:
                if side == OURS:
                    raise
                print(f"{size} {work} {side} left out: {error}", file=sys.stderr)
                del times[side]
            else:
                print(f"{size} {work} round {number + 1} {side}: {median(times[side][-1]):.1f} ms", file=sys.stderr)
    return times


def middle(times: dict[str, Rounds], side: str) -> str:
    return f"{median(sum(times[side], [])):.1f}" if side in times else "-"


def ratio(times: dict[str, Rounds], side: str) -> str:
    """The median over rounds of the ratio of medians, with the smallest and the largest."""
    if side not in times or OURS not in times:
        return "-"
    ratios = [median(other) / median(own) for other, own in zip(times[side], times[OURS])]
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def machine(options: argparse.Namespace) -> str:
    policy = os.environ.get("OMP_WAIT_POLICY", "not set")
    return (
        f"{processor()}, {os.cpu_count()} processors, {platform.system()}; PyTorch {torch.__version__}, "
        f"Python {platform.python_version()}; {options.threads} threads, OMP_WAIT_POLICY {policy}{options.openblas}; "
        f"{options.rounds} rounds of {options.repetitions} repetitions"
    )


def compare(options: argparse.Namespace) -> None:
    print(machine(options))
    for size in options.sizes:
        print(f"\n### {size}\n\n| work | ours, ms | eager, ms | compiled, ms | eager / ours | compiled / ours |")
        print("|---|---:|---:|---:|---|---|", flush=True)
        for work in options.works:
            times = rounds(options, size, work)
            cells = [WORKS[work], *(middle(times, side) for side in SIDES), ratio(times, EAGER), ratio(times, COMPILED)]
            print("|", " | ".join(cells), "|", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--works", nargs="+", choices=list(WORKS), default=list(WORKS))
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repetitions", type=int, default=10, help="timed repetitions per process; default: 10")
    add_options(parser)
    options = parser.parse_args()
    if options.rounds < 1 or options.repetitions < 1:
        parser.error("--rounds and --repetitions must be 1 or more")
    leave_out_openblas(options)
    try:
        compare(options)
    except CommandFailed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
