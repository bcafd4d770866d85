"""Full-size networks on images, from public libraries, with random weights: what `vision.py` writes and times."""

from pathlib import Path
from typing import NamedTuple

from environment import torch
from torch import Tensor, nn

MEAN, DEVIATION = 0.16717362830052426, 1.0333394966054072
"""Of ImageReward's scores in its training data."""
TEXT = 35
"""Tokens of ImageReward's texts."""


class Network(nn.Module):
    """A network, its file in the published layout, and its inputs.

    `works` names the computations, `inputs` draws the tensors of one, and `forward` computes it.
    """

    works: tuple[str, ...]
    file: str

    def inputs(self, work: str) -> dict[str, Tensor]:
        raise NotImplementedError

    def published(self) -> nn.Module:
        """The module whose state is the file's."""
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        torch.save(self.published().state_dict(), folder / self.file)

    def load(self, folder: Path) -> None:
        state = torch.load(folder / self.file, mmap=True, weights_only=True)
        self.published().load_state_dict(state)


class Vae(Network):
    """Stable Diffusion's autoencoder (diffusers)."""

    works = ("vae-encode", "vae-decode")
    file = "vae/diffusion_pytorch_model.safetensors"

    def __init__(self):
        from diffusers import AutoencoderKL

        super().__init__()
        self.network = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            latent_channels=4,
            norm_num_groups=32,
            sample_size=256,
        )

    def published(self) -> nn.Module:
        return self.network

    def save(self, folder: Path) -> None:
        self.network.save_pretrained(folder / "vae")

    def load(self, folder: Path) -> None:
        from safetensors.torch import load_file

        self.network.load_state_dict(load_file(folder / self.file))

    def inputs(self, work: str) -> dict[str, Tensor]:
        return {"input": torch.rand(1, 3, 256, 256) * 2 - 1 if work == "vae-encode" else torch.randn(1, 4, 32, 32)}

    def forward(self, work: str, input: Tensor) -> Tensor:
        if work == "vae-encode":
            return self.network.encode(input).latent_dist.parameters
        return self.network.decode(input).sample


class Clip(Network):
    """LAION's ViT-H/14, the network of HPS v2 and PickScore (open_clip)."""

    works = ("clip-image", "clip-text")
    file = "clip/open_clip_pytorch_model.bin"

    def __init__(self):
        import open_clip

        super().__init__()
        self.network = open_clip.create_model("ViT-H-14", pretrained=None)

    def published(self) -> nn.Module:
        return self.network

    def inputs(self, work: str) -> dict[str, Tensor]:
        if work == "clip-image":
            return {"input": torch.randn(1, 3, 224, 224)}
        ids = torch.zeros(1, 77, dtype=torch.int64)
        ids[0, 0], ids[0, 1:20], ids[0, 20] = 49406, torch.randint(1, 49406, (19,)), 49407
        return {"input": ids}

    def forward(self, work: str, input: Tensor) -> Tensor:
        return self.network.encode_image(input) if work == "clip-image" else self.network.encode_text(input)


class LinearHead(nn.Module):
    def __init__(self):
        super().__init__()
        sizes = (768, 1024, 128, 64, 16, 1)
        layers: list[nn.Module] = []
        for i, (size, following) in enumerate(zip(sizes, sizes[1:])):
            layers += [nn.Linear(size, following)] + [nn.Dropout()] * (i < 3)
        self.layers = nn.Sequential(*layers)


class ImageReward(Network):
    """ImageReward from timm's vision transformer, the text encoder of transformers' BLIP and a linear head."""

    works = ("imagereward",)
    file = "imagereward/ImageReward.pt"

    def __init__(self):
        import timm
        from transformers import BlipTextConfig
        from transformers.models.blip.modeling_blip_text import BlipTextModel

        super().__init__()
        blip = nn.Module()
        blip.visual_encoder = timm.create_model("vit_large_patch16_224", num_classes=0, global_pool="")
        config = BlipTextConfig(
            vocab_size=30524, hidden_size=768, encoder_hidden_size=1024, intermediate_size=3072,
            num_hidden_layers=12, num_attention_heads=12, max_position_embeddings=512,
            layer_norm_eps=1e-12, hidden_act="gelu", is_decoder=True,
        )
        blip.text_encoder = BlipTextModel(config, add_pooling_layer=False)
        blip.vision_proj, blip.text_proj = nn.Linear(1024, 256), nn.Linear(768, 256)
        self.all = nn.Module()
        self.all.blip, self.all.mlp = blip, LinearHead()

    def published(self) -> nn.Module:
        return self.all

    def inputs(self, work: str) -> dict[str, Tensor]:
        ids = torch.zeros(1, TEXT, dtype=torch.int64)
        ids[0, 0], ids[0, 1:18], ids[0, 18] = 101, torch.randint(1000, 30522, (17,)), 102
        return {"input": torch.randn(1, 3, 224, 224), "ids": ids, "mask": (ids != 0).long()}

    def forward(self, work: str, input: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        image = self.all.blip.visual_encoder.forward_features(input)
        text = self.all.blip.text_encoder(
            ids, attention_mask=mask, encoder_hidden_states=image, encoder_attention_mask=None, is_decoder=False
        )
        score = self.all.mlp.layers(text.last_hidden_state[:, 0]).squeeze(1)
        return (score - MEAN) / DEVIATION


class Inception(Network):
    """The network of FID (pytorch-fid)."""

    works = ("inception",)
    file = "inception/pt_inception-2015-12-05.pth"

    def __init__(self):
        from pytorch_fid import inception

        super().__init__()
        # pytorch-fid's own function also downloads the weights.
        net = inception._inception_v3(num_classes=1008, aux_logits=False, weights=None)
        for name, kind, *sizes in (
            ("5b", "A", 192, 32), ("5c", "A", 256, 64), ("5d", "A", 288, 64),
            ("6b", "C", 768, 128), ("6c", "C", 768, 160), ("6d", "C", 768, 160), ("6e", "C", 768, 192),
            ("7b", "E_1", 1280), ("7c", "E_2", 2048),
        ):
            setattr(net, f"Mixed_{name}", getattr(inception, f"FIDInception{kind}")(*sizes))
        inception.fid_inception_v3 = lambda: net
        self.net = net
        self.pool = inception.InceptionV3([3], resize_input=False, normalize_input=False)

    def published(self) -> nn.Module:
        return self.net

    def inputs(self, work: str) -> dict[str, Tensor]:
        return {"input": torch.rand(1, 3, 299, 299) * 2 - 1}

    def forward(self, work: str, input: Tensor) -> Tensor:
        return self.pool(input)[0].flatten(1)


NETWORKS = (Vae, Clip, ImageReward, Inception)
WORKS = {work: network for network in NETWORKS for work in network.works}


def built(kind: type[Network]) -> Network:
    """In evaluation mode with frozen weights."""
    return kind().eval().requires_grad_(False)


@torch.no_grad()
def randomise(module: nn.Module) -> None:
    """Replaces constants, which would hide exchanged tensors, and keeps the scale of features in deep convolutions."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
        elif isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
    for tensor in module.parameters():
        if tensor.dim() > 0 and tensor.std(correction=0) < 1e-3:
            tensor.add_(torch.randn_like(tensor) * (0.1 if tensor.mean() > 0.5 else 0.02))


class Count(NamedTuple):
    parameters: int
    tensors: int


def count(module: nn.Module) -> Count:
    """Floating-point numbers of the state but for statistics of batch normalisations."""
    parameters = dict(module.named_parameters())
    return Count(sum(tensor.numel() for tensor in parameters.values()), len(parameters))
