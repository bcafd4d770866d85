"""Times training steps, posterior draws and steered steps of the PyTorch network, as CpuSpeed does in Java.

Prints one line: size, work, then the milliseconds of each repetition.
"""

import argparse
import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from environment import torch
from model import SIZES, FlowMapTransformer, Size
from torch import Tensor, nn

LEARNING_RATE = 1e-4
CLIP = 1.0
DECAY = 0.999
AVERAGE_FROM = 100
LABEL_DROP = 0.1
DRAWS = 4
STRENGTH = 10.0
STEERING_TIMES = (0.01, 0.505, 1.0)
WARM_UP = 2


def per_item(times: Tensor) -> Tensor:
    return times.view(-1, 1, 1, 1)


def interpolant(noise: Tensor, data: Tensor, times: Tensor) -> Tensor:
    return noise.lerp(data, per_item(times))


# ---- losses ----


class Context(NamedTuple):
    time: Tensor
    state: Tensor
    labels: Tensor


class Jump(NamedTuple):
    """A jump from s to u; `state` is on the path at s, `velocity` the path's."""

    start: Tensor
    end: Tensor
    state: Tensor
    velocity: Tensor


def jump(start: Tensor, end: Tensor, noise: Tensor, data: Tensor) -> Jump:
    return Jump(start, end, interpolant(noise, data, start), data - noise)


def squares(prediction: Tensor, target: Tensor) -> Tensor:
    """The mean over items of the squared error."""
    return (prediction - target).square().flatten(1).sum(1).mean()


def diagonal_loss(model: nn.Module, point: Jump, context: Context) -> Tensor:
    return squares(model(point.start, point.start, point.state, *context), point.velocity)


def consistency_loss(model: nn.Module, pair: Jump, context: Context) -> Tensor:
    """MeanFlow: one pass with its derivative along (1, 0, velocity) in (s, u, x̄)."""

    def velocity(start: Tensor, state: Tensor) -> Tensor:
        return model(start, pair.end, state, *context, explicit=True)

    average, rate = torch.func.jvp(
        velocity, (pair.start, pair.state), (torch.ones_like(pair.start), pair.velocity)
    )
    target = pair.velocity + per_item(pair.end - pair.start) * rate.detach()
    return squares(average, target)


def both_losses(model: nn.Module, point: Jump, pair: Jump, context: Context) -> Tensor:
    return diagonal_loss(model, point, context) + consistency_loss(model, pair, context)


# ---- a training step ----


class Trainer:
    """Clipping, AdamW and a moving average of the weights."""

    def __init__(self, model: nn.Module):
        self.parameters = list(model.parameters())
        self.optimizer = torch.optim.AdamW(self.parameters, lr=LEARNING_RATE, weight_decay=0, fused=True)
        self.average = [parameter.detach().clone() for parameter in self.parameters]
        self.steps = 0

    def step(self, loss: Tensor) -> Tensor:
        """Takes a step and returns the gradient's norm before clipping."""
        self.optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, CLIP)
        self.optimizer.step()
        with torch.no_grad():
            if self.steps < AVERAGE_FROM:
                torch._foreach_copy_(self.average, self.parameters)
            else:
                torch._foreach_lerp_(self.average, self.parameters, 1 - DECAY)
        self.steps += 1
        return norm


def draw_context(data: Tensor, labels: Tensor, classes: int) -> Context:
    batch = data.shape[0]
    times = torch.rand(batch).square().clamp_max(1 - 1e-3) * (torch.rand(batch) >= 0.1)
    kept = torch.where(torch.rand(batch) < LABEL_DROP, classes, labels)
    return Context(times, interpolant(torch.randn_like(data), data, times), kept)


def draw_point(data: Tensor) -> Jump:
    times = torch.rand(data.shape[0])
    return jump(times, times, torch.randn_like(data), data)


def draw_pair(data: Tensor) -> Jump:
    one, other = torch.rand(2, data.shape[0])
    return jump(torch.minimum(one, other), torch.maximum(one, other), torch.randn_like(data), data)


# ---- samples ----


def posterior_draw(model: nn.Module, noise: Tensor, context: Context) -> Tensor:
    """One flow-map step from noise to data."""
    times = torch.zeros_like(context.time)
    return noise + model(times, times + 1, noise, *context)


def drift(model: nn.Module, times: Tensor, state: Tensor, labels: Tensor) -> Tensor:
    return model(times, times, state, torch.zeros_like(times), torch.zeros_like(state), labels)


def value(model: nn.Module, times: Tensor, state: Tensor, labels: Tensor, noise: Tensor) -> Tensor:
    """The logarithm of the mean over draws of e^(strength · brightness), for noise (B, draws, C, H, W)."""
    draws = noise.shape[1]
    context = Context(
        times.repeat_interleave(draws), state.repeat_interleave(draws, 0), labels.repeat_interleave(draws)
    )
    images = (posterior_draw(model, noise.flatten(0, 1), context) + 1) / 2
    # The derivative of this clamp is 1 everywhere.
    images = images + (images.clamp(0, 1) - images).detach()
    scores = STRENGTH * images.mean((1, 2, 3)).view(-1, draws)
    return scores.logsumexp(1) - math.log(draws)


def steered_sample(
    drift: Callable[..., Tensor],
    value: Callable[..., Tensor],
    start: Tensor,
    labels: Tensor,
    noise: Callable[[int], Tensor],
) -> Tensor:
    """Euler steps of the drift plus the value's gradient; `noise` gives the draws' noise of a step."""
    state = start
    for step, (now, then) in enumerate(zip(STEERING_TIMES, STEERING_TIMES[1:])):
        times = torch.full((state.shape[0],), now)
        with torch.no_grad():
            base = drift(times, state, labels)
        leaf = state.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(value(times, leaf, labels, noise(step)).sum(), leaf)
        with torch.no_grad():
            state = leaf + (then - now) * (base + min((1 - now) / now, 25) * gradient)
    return state


# ---- what is timed ----


def of_model(function: Callable[..., Tensor], model: nn.Module, compiled: bool) -> Callable[..., Tensor]:
    def bound(*arguments):
        return function(model, *arguments)

    return torch.compile(bound, dynamic=False) if compiled else bound


def training(size: Size, compiled: bool, consistent: bool) -> Callable[[], None]:
    model = FlowMapTransformer(size)
    trainer = Trainer(model)
    loss = of_model(both_losses if consistent else diagonal_loss, model, compiled)
    data = torch.randn(size.batch, *size.item)
    labels = torch.randint(size.classes, (size.batch,))

    def run() -> None:
        context = draw_context(data, labels, size.classes)
        points = (draw_point(data), draw_pair(data)) if consistent else (draw_point(data),)
        trainer.step(loss(*points, context))

    return run


def drawing(size: Size, compiled: bool) -> Callable[[], None]:
    model = FlowMapTransformer(size).requires_grad_(False)
    draw = of_model(posterior_draw, model, compiled)
    with torch.inference_mode():
        context = Context(
            torch.rand(size.batch),
            torch.randn(size.batch, *size.item),
            torch.randint(size.classes, (size.batch,)),
        )

    @torch.inference_mode()
    def run() -> None:
        draw(torch.randn(size.batch, *size.item), context)

    return run


def steering(name: str, compiled: bool) -> Callable[[], None]:
    size = SIZES[name]
    model = FlowMapTransformer(size).requires_grad_(False)
    items = 8 if name == "tiny" else 2
    labels = torch.zeros(items, dtype=torch.int64)
    functions = of_model(drift, model, compiled), of_model(value, model, compiled)

    def run() -> None:
        start = torch.randn(items, *size.item)
        steered_sample(*functions, start, labels, lambda step: torch.randn(items, DRAWS, *size.item))

    return run


def prepared(name: str, work: str, compiled: bool) -> Callable[[], None]:
    size = SIZES[name]
    if work == "flow":
        return training(size, compiled, consistent=False)
    if work == "mfm":
        return training(size, compiled, consistent=True)
    return drawing(size, compiled) if work == "draws" else steering(name, compiled)


def measured(run: Callable[[], None], repetitions: int) -> list[float]:
    milliseconds = []
    for _ in range(WARM_UP + repetitions):
        before = time.perf_counter()
        run()
        milliseconds.append((time.perf_counter() - before) * 1e3)
    return milliseconds[WARM_UP:]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("size", choices=list(SIZES))
    parser.add_argument("work", choices=["flow", "mfm", "draws", "steer"])
    parser.add_argument("repetitions", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true", help="use torch.compile")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    times = measured(prepared(options.size, options.work, options.compile), options.repetitions)
    print(options.size, options.work, *(f"{milliseconds:.2f}" for milliseconds in times))


if __name__ == "__main__":
    main()
