"""The transformer of meta flow maps in plain PyTorch; its parameters have the names of the Java checkpoints."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Size(NamedTuple):
    """A network and its batch, as CpuSpeed.Size."""

    side: int
    patch: int
    channels: int
    width: int
    depth: int
    heads: int
    encoder: int
    classes: int
    batch: int

    @property
    def item(self) -> tuple[int, int, int]:
        return self.channels, self.side, self.side


SIZES = {
    "tiny": Size(28, 4, 1, 128, 4, 4, 3, 10, 64),
    "s2": Size(32, 2, 4, 384, 12, 6, 8, 1000, 8),
    "b2": Size(32, 2, 4, 768, 12, 12, 8, 1000, 8),
}
FREQUENCIES = 128


class PatchEmbedding(nn.Module):
    """Images (B, C, H, W) to tokens (B, L, D)."""

    def __init__(self, size: Size):
        super().__init__()
        self.proj = nn.Conv2d(size.channels, size.width, size.patch, size.patch)

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(images).flatten(2).transpose(1, 2)


class TimeEmbedding(nn.Module):
    """Times (B) to vectors (B, D)."""

    def __init__(self, width: int):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(2 * FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        rates = torch.exp(-math.log(10_000) * torch.arange(FREQUENCIES, dtype=torch.float64) / FREQUENCIES)
        self.register_buffer("rates", rates.float(), persistent=False)

    def forward(self, time: Tensor) -> Tensor:
        phase = time.unsqueeze(1) * self.rates
        return self.mlp(torch.cat((phase.cos(), phase.sin()), 1))


class TableEmbedding(nn.Module):
    """Indices (B) to vectors (B, D)."""

    def __init__(self, rows: int, width: int):
        super().__init__()
        self.embedding_table = nn.Embedding(rows, width)

    def forward(self, index: Tensor) -> Tensor:
        return self.embedding_table(index)


def modulation(width: int, parts: int) -> nn.Sequential:
    return nn.Sequential(nn.SiLU(), nn.Linear(width, parts * width))


def modulated(tokens: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return tokens * (1 + scale) + shift


def normalised(tokens: Tensor) -> Tensor:
    return F.layer_norm(tokens, tokens.shape[-1:], eps=1e-6)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor, explicit: bool) -> Tensor:
        batch, length, width = tokens.shape
        qkv = self.qkv(tokens).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        if explicit:
            # The fused operator has no forward-mode derivative.
            scores = query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)
            mixed = scores.softmax(-1) @ value
        else:
            mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).reshape(batch, length, width))


class Mlp(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(tokens), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, size: Size):
        super().__init__()
        self.adaLN_modulation = modulation(size.width, 6)
        self.attn = Attention(size.width, size.heads)
        self.mlp = Mlp(size.width)

    def forward(self, tokens: Tensor, condition: Tensor, explicit: bool) -> Tensor:
        m = self.adaLN_modulation(condition).unsqueeze(1).chunk(6, 2)
        tokens = tokens + m[2] * self.attn(modulated(normalised(tokens), m[0], m[1]), explicit)
        return tokens + m[5] * self.mlp(modulated(normalised(tokens), m[3], m[4]))


class Head(nn.Module):
    def __init__(self, size: Size):
        super().__init__()
        self.adaLN_modulation = modulation(size.width, 2)
        self.linear = nn.Linear(size.width, size.patch * size.patch * size.channels)

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(condition).unsqueeze(1).chunk(2, 2)
        return self.linear(modulated(normalised(tokens), shift, scale))


class FlowMapTransformer(nn.Module):
    """v(s, u, x̄; t, x_t, y): the average velocity from s to u of the flow to the posterior of data given x_t."""

    def __init__(self, size: Size):
        super().__init__()
        width = size.width
        self.size = size
        self.x_embedder = PatchEmbedding(size)
        self.s_embedder = TimeEmbedding(width)
        self.t_embedder = TimeEmbedding(width)
        self.s_embedder_second = TimeEmbedding(width)
        self.t_embedder_second = TimeEmbedding(width)
        self.t_cond_embedder = TimeEmbedding(width)
        self.y_embedder = TableEmbedding(size.classes + 1, width)
        self.guidance_embedder = TableEmbedding(1, width)
        self.x_cond_embedder = PatchEmbedding(size)
        self.x_cond_adaLN = modulation(width, 2)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.depth))
        self.final_layer = Head(size)
        self.register_buffer("pos_embed", positions(size.side // size.patch, width))
        self.apply(initialise)
        for zero in (self.x_cond_adaLN, self.final_layer, self.guidance_embedder):
            for parameter in zero.parameters():
                nn.init.zeros_(parameter)
        for block in self.blocks:
            nn.init.zeros_(block.adaLN_modulation[1].weight)

    def forward(
        self,
        start: Tensor,
        end: Tensor,
        state: Tensor,
        time: Tensor,
        context: Tensor,
        labels: Tensor,
        explicit: bool = False,
    ) -> Tensor:
        """Times and labels are (B), states (B, C, H, W). `explicit` attention has a forward-mode derivative."""
        context_time = self.t_cond_embedder(time)
        shared = context_time + self.y_embedder(labels)
        guidance = self.guidance_embedder.embedding_table.weight
        first = self.s_embedder(start) + self.t_embedder(end) + shared + guidance
        second = self.s_embedder_second(start) + self.t_embedder_second(end) + shared
        shift, scale = self.x_cond_adaLN(context_time).unsqueeze(1).chunk(2, 2)
        tokens = self.x_embedder(state) + self.pos_embed + modulated(self.x_cond_embedder(context), shift, scale)
        for i, block in enumerate(self.blocks):
            tokens = block(tokens, first if i < self.size.encoder else second, explicit)
        return self.images(self.final_layer(tokens, second))

    def images(self, tokens: Tensor) -> Tensor:
        """Tokens (B, L, p·p·C) to images (B, C, H, W)."""
        channels, side, patch = self.size.channels, self.size.side, self.size.patch
        grid = side // patch
        cut = tokens.view(-1, grid, grid, patch, patch, channels)
        return cut.permute(0, 5, 1, 3, 2, 4).reshape(-1, channels, side, side)


def positions(grid: int, width: int) -> Tensor:
    """Fixed positions (1, grid², width): sines and cosines of the column, then of the row."""
    rates = 10_000 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    phase = torch.arange(grid, dtype=torch.float64).unsqueeze(1) * rates
    table = torch.cat((phase.sin(), phase.cos()), 1).float()
    columns = table.repeat(grid, 1)
    rows = table.repeat_interleave(grid, 0)
    return torch.cat((columns, rows), 1).unsqueeze(0)


def initialise(layer: nn.Module) -> None:
    if isinstance(layer, (nn.Linear, nn.Conv2d)):
        nn.init.xavier_uniform_(layer.weight.data.flatten(1))
        nn.init.zeros_(layer.bias)
    elif isinstance(layer, TimeEmbedding):
        for linear in (layer.mlp[0], layer.mlp[2]):
            nn.init.normal_(linear.weight, std=0.02)
    elif isinstance(layer, nn.Embedding):
        nn.init.normal_(layer.weight, std=0.02)
