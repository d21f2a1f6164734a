"""How similar a layer's output stays when an item is displaced."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize

from invlib.data.canvas import Canvas, on_axis
from invlib.data.items import ItemSet
from invlib.devices import autocast, device_of, evaluating
from invlib.exact.dense import check_layer, check_output
from invlib.exact.layers import Walk
from invlib.exact.propagation import Propagator
from invlib.progress import bar
from invlib.training import fitting


@dataclass(frozen=True)
class Cosines:
    """Cosine similarities at each displacement, float64 (columns,).

    Attributes:
        layer: name of the layer.
        displacements: pixels to the right of the trained place.
        mean: of an item with itself at the trained place, over items.
        std: standard deviation over items.
        baseline: of two items of different classes at the same, displaced place, over pairs.
        baseline_std: standard deviation over pairs.
    """

    layer: str
    displacements: tuple[int, ...]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    baseline: NDArray[np.float64]
    baseline_std: NDArray[np.float64]


def cosine_by_displacement(
    model: nn.Module,
    canvas: Canvas,
    items: ItemSet,
    layer: str,
    columns: Sequence[int] | None = None,
    exact_path: str = "auto",
    precision: str = "float32",
) -> Cosines:
    """Cosine similarity between an item at the leftmost-centred place and displaced to the right.

    Paper: Biscione & Bowers 2020, sec. 2.4. Random networks behind a ReLU give any two inputs a
    high similarity, so it means something beside its baseline only: items of different classes.

    Args:
        model: any network from canvases (n, channels, height, width). It is put in evaluation mode
            meanwhile.
        canvas: the canvas it sees.
        items: the items, of two classes or more; resized to the canvas's item size.
        layer: name of a submodule with one output (n, ...), as in ``model.named_modules()``.
        columns: of the displaced places, in pixels; those of the canvas's test grid if not given.
        exact_path: see ``propagation.Propagator``.
        precision: ``"float32"``, or ``"bfloat16"``, mixed with float32.

    Returns:
        What was found at each column.

    Raises:
        DataError: for items of another shape than the canvas's.
        ValueError: for a layer that does not exist (names the nearest) or does not give one tensor
            of finite numbers with a row for each canvas, or items of one class or of channels that
            the network does not take.
        PlaceError: when a column is off the canvas, or is no whole number, or there is none.
        PathError: under ``"propagate"``, where it is not possible: says why.
    """
    if len(items.classes) < 2:
        raise ValueError(f"{items.name} has one class; the baseline needs items of two")
    columns = on_axis(canvas.test_grid(axis=1) if columns is None else columns)
    part = _up_to(model, layer)
    row, start = canvas.leftmost_centred
    images = canvas.prepare(items).images.to(device_of(model))
    total = len(images) * (1 + len(columns))
    forward = Propagator(part, canvas, exact_path)
    with (
        torch.inference_mode(),
        evaluating(part),
        autocast(images.device, precision),
        fitting(model, items, canvas),
        bar(total=total, desc=f"cosines of {items.name}", unit="item") as progress,
    ):
        outputs = []
        for index, out in forward.everywhere(images, (row,), (start, *columns)):
            check_output(out["layer"], len(index), layer)
            outputs.append(out["layer"].flatten(1).double().cpu())
            progress.update(len(index))
    given = torch.cat(outputs)
    if not given.isfinite().all():
        raise ValueError(
            f"expected finite numbers for {items.name} from {layer}, found NaN or infinity"
        )
    base, *displaced = normalize(given, dim=1).split(len(images))
    others = items.labels[:, None] < items.labels[None]

    def both(values: list[Tensor]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        each = torch.stack(values)
        return each.mean(1).numpy(), each.std(1, correction=0).numpy()

    same = both([(base * each).sum(1) for each in displaced])
    baseline = both([(each @ each.T)[others] for each in displaced])
    return Cosines(layer, tuple(column - start for column in columns), *same, *baseline)


def _up_to(model: nn.Module, layer: str) -> nn.Module:
    """The part of a network that ends with a layer; it shares the weights."""
    from torchvision.models.feature_extraction import create_feature_extractor

    check_layer(model, layer)
    try:
        with evaluating(model):  # It would leave parts in another mode.
            Walk(model)  # stops where a trace would freeze what the code does anew each time
            part: nn.Module = create_feature_extractor(model, {layer: "layer"})
    except Exception:  # whatever a forward does with a proxy: the whole network is run
        return _Whole(model, layer)
    return part


class _Whole(nn.Module):
    """A network that gives the output of one of its layers."""

    def __init__(self, model: nn.Module, layer: str) -> None:
        super().__init__()
        self.model, self.layer = model, layer

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        seen: list[Any] = []
        # A later layer may work in place.
        hook = self.model.get_submodule(self.layer).register_forward_hook(
            lambda module, x, y: seen.append(y.clone() if isinstance(y, Tensor) else y)
        )
        try:
            self.model(x)
        finally:
            hook.remove()
        if len(seen) != 1:
            raise ValueError(
                f"the network uses its layer {self.layer!r} {len(seen)} times; "
                "expected a layer that is used once"
            )
        return {"layer": seen[0]}
