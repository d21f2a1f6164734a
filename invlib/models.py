"""The book's networks, by table, and pretrained weights.

VGG has torchvision's attribute names, so torchvision's weights load as they are; SqueezeNet is
torchvision's own class.

References:
    Simonyan & Zisserman 2014 (VGG), Iandola et al. 2016 (SqueezeNet), He et al. 2015 (Kaiming
    initialisation), Biscione & Bowers 2020 (a fresh last layer for each set), Myburgh, Mouton &
    Davel 2020 (the tracking networks).
"""

import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class VGGTable:
    """A row of the table of VGG networks.

    Attributes:
        layers: channels of the 3 x 3 convolutions in order, "M" for a 2 x 2 max pooling.
        map: side of the last feature map, in cells.
        hidden: width of the two hidden layers.
        channels: input channels.
    """

    layers: tuple[int | str, ...]
    map: int
    hidden: int
    channels: int


VGGS = {
    "smoke": VGGTable((8, "M", 16, "M"), map=4, hidden=64, channels=1),
    "bench": VGGTable(
        (16, "M", 32, "M", 64, 64, "M", 64, 64, "M"), map=4, hidden=512, channels=1
    ),
    "vgg16": VGGTable(
        (64, 64, "M", 128, 128, "M", 256, 256, 256, "M")
        + (512, 512, 512, "M", 512, 512, 512, "M"),
        map=7,
        hidden=4096,
        channels=3,
    ),
}  # fmt: skip


class VGG(nn.Module):
    """VGG without batch normalisation; attribute names as in torchvision.

    Input float (n, channels, height, width), output logits (n, classes). Another canvas than the
    table's is averaged to its last map, as in torchvision.
    """

    def __init__(self, table: VGGTable, classes: int, channels: int | None = None) -> None:
        super().__init__()
        features: list[nn.Module] = []
        width = table.channels if channels is None else channels
        for layer, following in zip(table.layers, (*table.layers[1:], None), strict=True):
            if not isinstance(layer, int):
                continue
            # ReLU after pooling gives the same values and gradients as before it, on a quarter
            # of the cells; the positions of the convolutions stay torchvision's.
            pooling = [nn.MaxPool2d(2)] if following == "M" else []
            features += [nn.Conv2d(width, layer, 3, padding=1), *pooling, nn.ReLU(inplace=True)]
            width = layer
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(table.map)
        self.classifier = nn.Sequential(
            nn.Linear(width * table.map**2, table.hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(table.hidden, table.hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(table.hidden, classes),
        )
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def initialise(module: nn.Module) -> None:
    """torchvision's VGG initialisation of one layer: Kaiming normal fan-out, N(0, 0.01), zero bias.

    Both the small linear layers and the dropout matter for what carries over to other places.
    """
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def vgg(name: str, classes: int, channels: int | None = None, seed: int = 0) -> VGG:
    """A VGG of the table with fresh weights.

    Args:
        name: ``"bench"`` (64 x 64 canvas), ``"vgg16"`` (224 x 224) or ``"smoke"`` (16 x 16).
        classes: outputs.
        channels: input channels, the table's if not given.
        seed: of the initialisation; the global generator is left as it was.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in VGGS:
        raise ValueError(f"unknown VGG {name!r}; expected one of {', '.join(VGGS)}")
    with seeded(seed):
        return VGG(VGGS[name], classes, channels)


def squeezenet(classes: int, head: str = "pooled", seed: int = 0, size: int = 224) -> nn.Module:
    """torchvision's SqueezeNet 1.1 with fresh (Kaiming) weights.

    Args:
        classes: outputs.
        head: ``"pooled"`` is its own, a 1 x 1 convolution averaged over all positions;
            ``"flat"`` is one linear layer on the flattened map, which sees where a feature lies.
        seed: of the initialisation.
        size: side of the canvas in pixels; decides the width of the flat head.

    Raises:
        ValueError: for an unknown head.
    """
    from invlib._torchvision import torchvision

    if head not in ("pooled", "flat"):
        raise ValueError(f"unknown head {head!r}; expected pooled or flat")
    with seeded(seed):
        model = torchvision.models.squeezenet1_1(num_classes=classes)
        # As in VGG: the same values and gradients on a quarter of the cells.
        model.features[1], model.features[2] = model.features[2], model.features[1]
        if head == "flat":
            with torch.no_grad():
                cells = model.features(torch.zeros(1, 3, size, size)).flatten(1).shape[1]
            model.classifier = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(cells, classes))
        model.apply(initialise)
    return model


@dataclass(frozen=True)
class TrackingTable:
    """A row of the table of Myburgh et al.'s networks.

    Attributes:
        channels: input channels, then those of the three convolutions.
        side: of the input in pixels: the image and a black border of 6 pixels.
        kernel: side of the kernels.
        padded: whether the convolutions keep the map's size.
        sides: of the maps behind the three poolings.
    """

    channels: tuple[int, int, int, int]
    side: int
    kernel: int
    padded: bool
    sides: tuple[int, int, int]


TRACKING = {
    # Tables 1 and 2; with k = 4 the sizes printed need 1 cell of padding before and 2 behind.
    "mnist_k5": TrackingTable((1, 10, 20, 30), 40, 5, True, (20, 10, 5)),
    "mnist_k4": TrackingTable((1, 10, 20, 30), 40, 4, True, (20, 10, 5)),
    "mnist_k3": TrackingTable((1, 10, 20, 30), 40, 3, True, (20, 10, 5)),
    "cifar10_k5": TrackingTable((3, 50, 100, 150), 44, 5, True, (22, 11, 5)),
    "cifar10_k4": TrackingTable((3, 50, 100, 150), 44, 4, True, (22, 11, 5)),
    "cifar10_k3": TrackingTable((3, 50, 100, 150), 44, 3, True, (22, 11, 5)),
    # Tables 3 and 4.
    "mnist_k5_unpadded": TrackingTable((1, 10, 20, 30), 40, 5, False, (18, 7, 1)),
    "mnist_k4_unpadded": TrackingTable((1, 16, 31, 47), 40, 4, False, (18, 7, 2)),
    "mnist_k3_unpadded": TrackingTable((1, 28, 56, 83), 40, 3, False, (19, 8, 3)),
    "cifar10_k5_unpadded": TrackingTable((3, 50, 100, 150), 44, 5, False, (20, 8, 2)),
    "cifar10_k4_unpadded": TrackingTable((3, 78, 156, 234), 44, 4, False, (20, 8, 2)),
    "cifar10_k3_unpadded": TrackingTable((3, 139, 278, 416), 44, 3, False, (21, 9, 3)),
}
"""Myburgh, Mouton & Davel 2020, tables 1 to 4."""


def tracking(name: str, classes: int = 10, seed: int = 0) -> nn.Sequential:
    """A network of Myburgh et al.: three convolutions with pooling, 500 hidden nodes, the classes.

    Its parts are ``features`` (maps behind the last pooling) and ``classifier``.

    Args:
        name: a row of ``TRACKING``.
        classes: outputs.
        seed: of the (Kaiming) initialisation.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in TRACKING:
        raise ValueError(f"unknown network {name!r}; expected one of {', '.join(TRACKING)}")
    table = TRACKING[name]
    before, behind = (table.kernel - 1) // 2, table.kernel // 2
    features: list[nn.Module] = []
    with seeded(seed):
        for width, channels in zip(table.channels, table.channels[1:], strict=False):
            pads = table.padded and before != behind
            padding = before if table.padded and not pads else 0
            features += [nn.ZeroPad2d((before, behind, before, behind))] * pads
            features += [nn.Conv2d(width, channels, table.kernel, padding=padding)]
            features += [nn.MaxPool2d(2), nn.ReLU(inplace=True)]
        cells = table.channels[-1] * table.sides[-1] ** 2
        classifier = [nn.Flatten(), nn.Linear(cells, 500), nn.ReLU(inplace=True)]
        model = nn.Sequential(
            OrderedDict(
                features=nn.Sequential(*features),
                classifier=nn.Sequential(*classifier, nn.Linear(500, classes)),
            )
        )
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                module.bias.data.zero_()  # type: ignore[union-attr]
    return model


def head_name(model: nn.Module) -> str:
    """The name of the last layer with weights: the head that is replaced for new classes."""
    names = [n for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    if not names:
        raise ValueError(f"{type(model).__name__} has no linear or convolution layer to replace")
    return names[-1]


def replace_head(model: nn.Module, classes: int, seed: int = 0) -> nn.Module:
    """Put a fresh last layer for ``classes`` classes in place, and return the same model."""
    name = head_name(model)
    old = model.get_submodule(name)
    with seeded(seed):
        if isinstance(old, nn.Linear):
            fresh: nn.Module = nn.Linear(old.in_features, classes)
        else:
            assert isinstance(old, nn.Conv2d)
            fresh = nn.Conv2d(old.in_channels, classes, old.kernel_size)  # type: ignore[arg-type]
        initialise(fresh)
    device = next(model.parameters()).device
    model.set_submodule(name, fresh.to(device))
    return model


def penultimate(model: nn.Module, x: Tensor) -> Tensor:
    """What the last layer is given, flattened: (n, features), after the ReLU, evaluation mode.

    The layer of the paper's cosine similarities (sec. 2.4).
    """
    seen: list[Tensor] = []
    head = model.get_submodule(head_name(model))
    hook = head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    try:
        with torch.inference_mode(), evaluating(model):
            model(x)
    finally:
        hook.remove()
    return seen[0].flatten(1)


class WeightsError(ValueError):
    """Pretrained weights are missing, damaged or of another network."""


@dataclass(frozen=True)
class Weights:
    """A file of pretrained weights and how its network wants its input.

    Attributes:
        network: the network it belongs to.
        file: the file's name.
        mean: of each channel (RGB), in units of pixel / 255.
        std: likewise.
        bgr: the first layer was trained on BGR; it is turned round when loading.
        url: where torchvision publishes it, empty when there is no such place.
        licence: as published.
    """

    network: str
    file: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False
    url: str = ""
    licence: str = "BSD-3-Clause (torchvision)"


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_TORCHVISION = "https://download.pytorch.org/models/"
WEIGHTS = (
    Weights(
        "vgg16",
        "vgg16-397923af.pth",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        url=_TORCHVISION + "vgg16-397923af.pth",
    ),
    Weights(
        "squeezenet1_1",
        "squeezenet1_1_features_caffe.safetensors",
        mean=(123.68 / 255, 116.779 / 255, 103.939 / 255),
        std=(1 / 255, 1 / 255, 1 / 255),
        bgr=True,
        licence="BSD (Iandola et al.), MIT (Keras port by R. C. Malli)",
    ),
    Weights(
        "squeezenet1_1",
        "squeezenet1_1-b8a52dc0.pth",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        url=_TORCHVISION + "squeezenet1_1-b8a52dc0.pth",
    ),
)


def weights_folders() -> list[Path]:
    """Where weights are looked for: ``INVLIB_WEIGHTS``, then torchvision's cache."""
    folders = [Path(torch.hub.get_dir()) / "checkpoints"]
    if "INVLIB_WEIGHTS" in os.environ:
        folders.insert(0, Path(os.environ["INVLIB_WEIGHTS"]))
    return folders


def find_weights(network: str) -> tuple[Weights, Path]:
    """The first known file of a network's ImageNet weights that is there.

    Raises:
        WeightsError: for an unknown network, and when no file is there: names the files, where
            they were looked for and the command that gets them.
    """
    known = [w for w in WEIGHTS if w.network == network]
    if not known:
        names = ", ".join(sorted({w.network for w in WEIGHTS}))
        raise WeightsError(f"no ImageNet weights are known for {network!r}; expected {names}")
    for weights in known:
        for folder in weights_folders():
            if (folder / weights.file).is_file():
                return weights, folder / weights.file
    raise WeightsError(
        f"ImageNet weights of {network} ({' or '.join(w.file for w in known)}) are not in "
        f"{' or '.join(str(f) for f in weights_folders())}; "
        f"'invlib weights --download {network}' gets them"
    )


def download_weights(network: str) -> Path:
    """Download torchvision's weights of a network into torchvision's cache, hash checked.

    Raises:
        WeightsError: for an unknown network and when the download fails.
    """
    for weights in WEIGHTS:
        if weights.network == network and weights.url:
            path = Path(torch.hub.get_dir()) / "checkpoints" / weights.file
            digest = weights.file.rpartition("-")[2].partition(".")[0]
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                torch.hub.download_url_to_file(weights.url, str(path), digest, progress=False)
            except (OSError, RuntimeError) as error:
                raise WeightsError(f"{weights.url} could not be downloaded: {error}") from error
            return path
    names = ", ".join(w.network for w in WEIGHTS if w.url)
    raise WeightsError(f"no ImageNet weights are known for {network!r}; expected {names}")


def load_pretrained(model: nn.Module, path: str | Path, bgr: bool = False) -> nn.Module:
    """Load weights by name into ``model``; the last layer may be absent or of another size.

    Args:
        model: a network whose parameters are named as in the file.
        path: a ``.safetensors`` file, or a ``.pth`` state dict; nothing is ever unpickled but
            tensors.
        bgr: turn the first convolution's input channels round (a file trained on BGR).

    Raises:
        WeightsError: for a file that is missing, damaged, holds other objects than tensors, or
            whose names or shapes are not the model's.
    """
    path = Path(path)
    state = _read_state(path)
    own = model.state_dict()
    head = head_name(model)
    # The file's own last layers may have other names than the model's head.
    unknown = [n for n in state if n not in own and not n.startswith("classifier.")]
    absent = [n for n in own if n not in state and n.rpartition(".")[0] != head]
    if unknown or absent:
        raise WeightsError(
            f"{path}: not weights of {type(model).__name__}: "
            + "; ".join(
                f"{what} {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"
                for what, names in (("unknown", unknown), ("absent", absent))
                if names
            )
        )
    kept = {}
    for name, tensor in state.items():
        if name.rpartition(".")[0] == head or name not in own:
            continue
        if tensor.shape != own[name].shape:
            raise WeightsError(
                f"{path}: {name} has shape {tuple(tensor.shape)}, "
                f"{type(model).__name__} expects {tuple(own[name].shape)}"
            )
        kept[name] = tensor.float()
    if bgr:
        first = next(n for n in own if own[n].ndim == 4)
        kept[first] = kept[first].flip(1)
    model.load_state_dict(kept, strict=False)
    return model


def _read_state(path: Path) -> dict[str, Tensor]:
    import pickle

    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: no such file") from error
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path}: expected a state dict of tensors, found pickled objects, which are not "
            "loaded because they may run code, or a damaged file"
        ) from error
    except Exception as error:
        # Both loaders let through whatever damaged bytes make them stumble over.
        raise WeightsError(f"{path}: damaged or not a file of weights ({error})") from error
    if not isinstance(state, dict) or not all(
        isinstance(n, str) and isinstance(t, Tensor) for n, t in state.items()
    ):
        raise WeightsError(
            f"{path}: expected a state dict of tensors, found {type(state).__name__}"
        )
    return state


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model in evaluation mode inside the block; after it every part has its own mode."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generator inside the block, and leave it as it was after."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
