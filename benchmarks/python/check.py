"""Compares losses, gradients, posterior draws and steered samples of the PyTorch network with those of Java.

Java writes weights, random numbers and results to a file (SpeedReference); PyTorch computes the results again.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from environment import torch
from java import CommandFailed, add_options, leave_out_openblas, run_java
from model import SIZES, FlowMapTransformer
from torch import Tensor, nn
from work import (
    Context,
    Trainer,
    consistency_loss,
    diagonal_loss,
    drift,
    jump,
    of_model,
    posterior_draw,
    steered_sample,
    value,
)

RELATIVE = 1e-4
ABSOLUTE = 1e-4
TYPES = {"F32": torch.float32, "F64": torch.float64, "I64": torch.int64}


def read_safetensors(file: Path) -> dict[str, Tensor]:
    content = bytearray(file.read_bytes())
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:begin])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        kind = TYPES[entry["dtype"]]
        first, end = entry["data_offsets"]
        count = (end - first) // kind.itemsize
        flat = torch.frombuffer(content, dtype=kind, count=count, offset=begin + first)
        tensors[name] = flat.reshape(entry["shape"])
    return tensors


def results(model: nn.Module, given: dict[str, Tensor], compiled: bool) -> Iterator[tuple[str, Tensor]]:
    """Computes what the file has, by its names there."""

    def bound(function):
        return of_model(function, model, compiled)

    data, labels = given["items"], given["labels"]
    context = Context(given["context.time"], given["context.state"], labels)
    with torch.inference_mode():
        yield "draw.samples", bound(posterior_draw)(given["draw.noise"], context)
    model.requires_grad_(False)
    noise = [given[name] for name in sorted(given) if name.startswith("steer.noise.")]
    yield (
        "steer.samples",
        steered_sample(bound(drift), bound(value), given["steer.start"], labels, noise.__getitem__),
    )
    model.requires_grad_(True)
    start = given["diagonal.start"]
    point = jump(start, start, given["diagonal.noise"], data)
    pair = jump(given["jump.start"], given["jump.end"], given["jump.noise"], data)
    diagonal, consistency = bound(diagonal_loss), bound(consistency_loss)
    first = diagonal(point, context)
    yield "diagonal.loss", first
    # Not with retain_graph, which compiled code does not allow.
    gradients = torch.autograd.grad(first, list(model.parameters()))
    yield "diagonal.gradient_norm", nn.utils.get_total_norm(gradients)
    second = consistency(pair, context)
    yield "consistency.loss", second
    yield "gradient_norm", Trainer(model).step(diagonal(point, context) + second)
    with torch.no_grad():
        yield "diagonal.loss_after", diagonal(point, context)


def check(name: str, file: Path, compiled: bool) -> bool:
    """Prints one row per result; returns whether all are equal within the limits."""
    given = read_safetensors(file)
    model = FlowMapTransformer(SIZES[name])
    prefix = "model."
    model.load_state_dict({key.removeprefix(prefix): given[key] for key in given if key.startswith(prefix)})
    good = True
    for key, computed in results(model, given, compiled):
        expected = given[key].double()
        difference = (computed.detach().double() - expected).abs().max().item()
        scalar = expected.dim() == 0
        error, limit = (difference / expected.abs().item(), RELATIVE) if scalar else (difference, ABSOLUTE)
        equal = error <= limit
        good &= equal
        shown = f"{expected.item():.6g}" if scalar else f"up to {expected.abs().max().item():.3g}"
        kind = "relative" if scalar else "absolute"
        print(f"{name:5} {key:24} {shown:>12}  {kind} error {error:.1e}  {'equal' if equal else 'DIFFERENT'}")
    return good


def check_all(options: argparse.Namespace) -> bool:
    good = True
    with tempfile.TemporaryDirectory() as folder:
        for name in options.sizes:
            file = Path(folder, f"{name}.safetensors")
            run_java(options, "SpeedReference", name, options.batch, file)
            good &= check(name, file, options.compile)
            file.unlink()
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--batch", type=int, default=2, help="items; default: 2")
    parser.add_argument("--compile", action="store_true", help="check with torch.compile")
    add_options(parser)
    options = parser.parse_args()
    leave_out_openblas(options)
    torch.set_num_threads(options.threads)
    try:
        if not check_all(options):
            sys.exit("PyTorch and Java differ")
    except CommandFailed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
