"""Pretrained weights: which are known, where they lie, loading them."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from invlib.models.heads import head_name


class WeightsError(ValueError):
    """Pretrained weights are missing, damaged or of another network."""


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Weights:
    """A file of pretrained weights and how its network wants its input.

    Attributes:
        network: the network it belongs to.
        file: the file's name.
        mean: of each channel (RGB), in units of pixel / 255.
        std: likewise.
        bgr: the first layer was trained on BGR; it is turned round when loading.
        published: whether torchvision publishes it, under its name.
        licence: as published.
    """

    network: str
    file: str
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    bgr: bool = False
    published: bool = True
    licence: str = "BSD-3-Clause (torchvision)"


_TORCHVISION = "https://download.pytorch.org/models/"

WEIGHTS = (
    Weights("vgg16", "vgg16-397923af.pth"),
    Weights(
        "squeezenet1_1",
        "squeezenet1_1_features_caffe.safetensors",
        mean=(123.68 / 255, 116.779 / 255, 103.939 / 255),
        std=(1 / 255, 1 / 255, 1 / 255),
        bgr=True,
        published=False,
        licence="BSD (Iandola et al.), MIT (Keras port by R. C. Malli)",
    ),
    Weights("squeezenet1_1", "squeezenet1_1-b8a52dc0.pth"),
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
    known = _known(network)
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
    file = next(w.file for w in _known(network) if w.published)
    url, path = _TORCHVISION + file, Path(torch.hub.get_dir()) / "checkpoints" / file
    digest = file.rpartition("-")[2].partition(".")[0]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not load_state_dict_from_url: it checks no file that is there, and reads half a gigabyte.
        torch.hub.download_url_to_file(url, str(path), digest, progress=False)
    except (OSError, RuntimeError) as error:
        raise WeightsError(f"{url} could not be downloaded: {error}") from error
    return path


def _known(network: str) -> list[Weights]:
    known = [w for w in WEIGHTS if w.network == network]
    if not known:
        names = ", ".join(dict.fromkeys(w.network for w in WEIGHTS))
        raise WeightsError(f"no ImageNet weights are known for {network!r}; expected {names}")
    return known


def load_pretrained(model: nn.Module, path: str | Path, bgr: bool = False) -> nn.Module:
    """Load weights by name into ``model``; the last layer may be absent or of another size.

    Args:
        model: a network whose parameters are named as in the file.
        path: a ``.safetensors`` file, or a ``.pth`` state dict; nothing is ever unpickled but
            tensors.
        bgr: turn the first convolution's input channels round (a file trained on BGR).

    Raises:
        WeightsError: for a file that is missing, damaged, holds other objects than tensors of
            finite numbers, or whose names, shapes or types are not the model's.
    """
    path = Path(path)
    state, own, head = _read_state(path), model.state_dict(), head_name(model)
    # All is looked at first: load_state_dict copies what fits before it refuses the rest.
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
        if tensor.is_floating_point() != own[name].is_floating_point():
            raise WeightsError(
                f"{path}: {name} is of {tensor.dtype}, "
                f"{type(model).__name__} expects {own[name].dtype}"
            )
        kept[name] = tensor
    if bgr:
        first = next(n for n in own if own[n].ndim == 4)
        kept[first] = kept[first].flip(1)
    model.load_state_dict(kept, strict=False)
    return model


def _read_state(path: Path) -> dict[str, Tensor]:
    """Dense tensors of finite numbers by name; floating-point ones are float32."""
    import pickle

    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
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
    return {name: _sound(tensor, f"{path}: {name}") for name, tensor in state.items()}


def _sound(tensor: Tensor, named: str) -> Tensor:
    kinds = {
        "nested": tensor.is_nested,
        "quantised": tensor.is_quantized,
        "meta": tensor.is_meta,
        "complex": tensor.is_complex(),
        "sparse": tensor.layout is not torch.strided,
    }
    for kind in (name for name, found in kinds.items() if found):
        raise WeightsError(f"{named}: expected a dense tensor of real numbers, found a {kind} one")
    # A few bytes may stand for more values than there is memory.
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise WeightsError(f"{named}: expected {tensor.numel()} values, found fewer in the file")
    if not tensor.is_floating_point():
        return tensor
    try:
        numbers = tensor.detach().float()
    except NotImplementedError as error:  # a type that torch stores and does not compute with
        raise WeightsError(f"{named}: expected numbers, found {tensor.dtype}") from error
    if not numbers.isfinite().all():
        raise WeightsError(f"{named}: expected finite numbers, found NaN or infinity")
    return numbers
