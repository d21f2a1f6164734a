"""What a network's layers look at, and a walk through its graph with maps that are known in part.

Both shortcuts (``propagation``, ``dense``) hand a value that stands for feature maps through the
graph of a network. A layer that looks at a neighbourhood, a function of each value alone and a join
of branches have rules for such values; for anything else the value becomes the whole maps, an
ordinary tensor, and the network goes on as it is.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.modules.pooling import _AvgPoolNd, _MaxPoolNd
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from invlib.devices import seeded

Pair = tuple[int, int]


class NotTraced(ValueError):
    """A network's graph cannot be told from its code."""


@dataclass(frozen=True, eq=False)
class Local:
    """A convolution or pooling: each output cell sees a neighbourhood.

    Attributes:
        kernel: cells it spans (rows, columns), dilation included.
        stride: cells from one neighbourhood to the next.
        before: padding before the map.
        after: padding behind it.
        value: of the padding.
        plain: the layer as it is.
        valid: the layer without its padding; a second argument is the stride, if not its own.
        ceil: an incomplete neighbourhood at the end counts.
        maximum: it commutes with ReLU.
    """

    kernel: Pair
    stride: Pair
    before: Pair
    after: Pair
    value: float
    plain: Callable[[Tensor], Tensor]
    valid: Callable[..., Tensor]
    ceil: bool = False
    maximum: bool = False

    def axis(self, i: int) -> tuple[int, int, int, int, bool]:
        """Kernel, stride, padding before and behind, ceil on one axis."""
        return self.kernel[i], self.stride[i], self.before[i], self.after[i], self.ceil

    @property
    def padded(self) -> bool:
        """Whether it looks beyond the map."""
        return any((*self.before, *self.after)) or self.ceil


@dataclass(frozen=True, eq=False)
class Pointwise:
    """A function of each value alone; ``relu``: it is ReLU."""

    function: Callable[[Tensor], Tensor]
    relu: bool = False


@dataclass(frozen=True, eq=False)
class Join:
    """Several maps of one size joined cell by cell; ``stacks``: it commutes with ReLU."""

    function: Callable[[list[Tensor]], Tensor]
    stacks: bool = False


Layer = Local | Pointwise | Join


class Walk(fx.Interpreter):
    """Runs a network's operations, as they are in its present mode, on a value known in part.

    The value has the methods ``local``, ``pointwise`` and ``joined``, which give the value behind a
    layer of that kind (None where there is no shortcut), and ``whole``, which gives the whole maps.
    Where these are many, ``pieces`` gives a few at a time, of several values at once.

    Args:
        model: the network.

    Attributes:
        graph: its torch.fx graph.
        outputs: name of a submodule -> the node of its output.
        layers: the nodes with a rule.
        spatial: nodes of layers that look further than one cell, with a rule or not.
        align: for a node in front of a pooling with kernel = stride: that stride.
        stopped: where the last run met its first operation without a rule.

    Raises:
        NotTraced: where torch.fx cannot follow the code.
    """

    def __init__(self, model: nn.Module) -> None:
        tracer = _Tracer()
        own = set(vars(model))
        try:
            graph = tracer.trace(model)
        except Exception as error:  # whatever a forward does with a proxy
            raise NotTraced(f"torch.fx cannot trace {type(model).__name__}: {error}") from error
        finally:
            constants = set(vars(model)) - own
            for name in constants:
                delattr(model, name)
        inputs = [n for n in graph.nodes if n.op == "placeholder" and not n.args]
        if constants or len(inputs) != 1:
            raise NotTraced(
                f"{type(model).__name__} makes tensors of its own or has not just one input"
            )
        super().__init__(model, graph=graph)
        self.outputs, modules = tracer.outputs, self.submodules
        found = ((node, _describe(node, modules)) for node in graph.nodes)
        self.layers: dict[fx.Node, Layer] = {node: layer for node, layer in found if layer}
        self.spatial = {
            node
            for node in graph.nodes
            if (isinstance(layer := self.layers.get(node), Local) and layer.kernel != (1, 1))
            or (not layer and spans(modules.get(str(node.target))))
        }
        self.align = {node: self._pooling_behind(node) for node in self.layers}
        self.stopped: fx.Node | None = None
        self.known: dict[fx.Node, Any] | None = None

    def looks_further(self, node: fx.Node) -> bool:
        """Whether a neighbourhood layer comes after a node, or the node is one."""
        nodes = list(self.graph.nodes)
        return any(each in self.spatial for each in nodes[nodes.index(node) :])

    def _pooling_behind(self, node: fx.Node) -> Pair:
        while len(node.users) == 1:
            node = next(iter(node.users))
            layer = self.layers.get(node)
            if isinstance(layer, Local):
                pools = layer.kernel == layer.stride and not layer.padded
                return layer.stride if pools else (1, 1)
            if not isinstance(layer, Pointwise):
                break
        return 1, 1

    def run(  # type: ignore[override]
        self, x: Any, until: fx.Node | None = None, known: dict[fx.Node, Any] | None = None
    ) -> Any:
        """The network's output, or the value behind a node.

        Args:
            x: the input.
            until: the node.
            known: node -> what the value's class keeps of it between runs.
        """
        self.env, self.args_iter, self.known, self.stopped = {}, iter([x]), known, None
        try:
            return self._run(list(self.graph.nodes), until)
        finally:
            self.env, self.args_iter, self.known = {}, iter(()), None

    def _run(self, nodes: list[fx.Node], until: fx.Node | None) -> Any:
        for i, node in enumerate(nodes):
            held = [n for n in node.all_input_nodes if hasattr(self.env[n], "whole")]
            value = self._shortcut(node, held) if held else None
            if held and value is None:
                if node not in self.layers:
                    self.stopped = self.stopped or node
                if hasattr(self.env[held[0]], "pieces"):
                    return self._in_pieces(self.env[held[0]].pieces, nodes[i:], until)
                for each in held:  # From here on it is plain, also for the others who use it.
                    if hasattr(self.env[each], "whole"):
                        self._replace(self.env[each], self.env[each].whole())
            value = self.env[node] = self.run_node(node) if value is None else value
            if node.op == "output" or node is until:
                return value
            for used in self.user_to_last_uses.get(node, []):
                del self.env[used]

    def _in_pieces(self, pieces: Any, nodes: list[fx.Node], until: fx.Node | None) -> Any:
        """The rest of the run, for a part of the whole maps at a time."""
        env = self.env
        held = {id(value): value for value in env.values() if hasattr(value, "pieces")}
        outputs = []
        for maps in pieces(list(held.values())):
            part = dict(zip(held, maps, strict=True))
            self.env = {node: part.get(id(value), value) for node, value in env.items()}
            outputs.append(self._run(nodes, until))
        return torch.cat(outputs)

    def _shortcut(self, n: fx.Node, held: list[fx.Node]) -> Any:
        layer = self.layers.get(n)
        if layer is None or len(held) < len(n.all_input_nodes):
            return None
        known = None if self.known is None else self.known.get(n)
        value = self.env[held[0]]
        if isinstance(layer, Local):
            out = value.local(layer, self.align[n], known)
        elif isinstance(layer, Pointwise):
            out = value.pointwise(layer, known)
        else:
            parts = tree_leaves(n.args[0] if isinstance(n.args[0], list | tuple) else n.args)
            out = value.joined(layer, [self.env[node] for node in parts], known)
        if out is not None and self.known is not None:
            self.known[n] = out.background
        if out is not None and _in_place(n, self.module):
            self._replace(value, out)
        return out

    def _replace(self, old: Any, new: Any) -> None:
        for node, value in self.env.items():
            if value is old:
                self.env[node] = new


class _Tracer(fx.Tracer):
    def __init__(self) -> None:
        super().__init__()
        self.outputs: dict[str, fx.Node] = {}

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        out = super().call_module(m, forward, args, kwargs)
        if isinstance(out, fx.Proxy):
            self.outputs[self.path_of_module(m)] = out.node
        return out


_POINTWISE = (
    nn.Identity, nn.LeakyReLU, nn.ReLU6, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Sigmoid, nn.Tanh
)  # fmt: skip
_FUNCTIONS = (F.gelu, F.silu, F.leaky_relu, F.elu, torch.sigmoid, torch.tanh)
_JOINS: dict[Any, Join] = {
    **dict.fromkeys((operator.add, operator.iadd, torch.add), Join(lambda x: x[0] + x[1])),
    **dict.fromkeys((torch.cat, torch.concat), Join(lambda x: torch.cat(x, 1), stacks=True)),
}


def _describe(node: fx.Node, modules: dict[str, nn.Module]) -> Layer | None:
    """The rule of a node; None for an operation that is not known."""
    target, constants = node.target, node.args[1:]
    if node.op == "call_module":
        return _describe_module(modules[str(target)])
    if any(isinstance(each, fx.Node) for each in (*constants, *node.kwargs.values())):
        binary = len(node.args) == 2 and len(node.all_input_nodes) == 2 and not node.kwargs
        return _JOINS.get(target) if binary and target not in (torch.cat, torch.concat) else None
    if target in (torch.cat, torch.concat):
        along = (*constants, *node.kwargs.values())
        return _JOINS[target] if along == (1,) else None
    if target in (F.relu, torch.relu, torch.relu_, "relu", "relu_"):
        return Pointwise(F.relu, relu=True)
    if target in (F.max_pool2d, F.avg_pool2d):
        layer = nn.MaxPool2d if target is F.max_pool2d else nn.AvgPool2d
        return _describe_module(layer(*constants, **node.kwargs))  # type: ignore[arg-type]
    if target in _FUNCTIONS and not node.kwargs.get("inplace"):
        return Pointwise(lambda x: target(x, *constants, **node.kwargs))
    return None


def _describe_module(m: nn.Module) -> Layer | None:
    kind = type(m)
    if isinstance(m, nn.Conv2d) and kind is nn.Conv2d and m.padding_mode == "zeros":
        left, right, top, bottom = m._reversed_padding_repeated_twice
        kernel, stride = _extent(m.kernel_size, m.dilation), _pair(m.stride)

        def valid(x: Tensor, stride: Pair = stride) -> Tensor:
            return F.conv2d(x, m.weight, m.bias, stride, 0, m.dilation, m.groups)

        return Local(kernel, stride, (top, left), (bottom, right), 0.0, m, valid)
    if isinstance(m, nn.MaxPool2d) and kind is nn.MaxPool2d and not m.return_indices:
        size, stride, pad, dilation = map(
            _pair, (m.kernel_size, m.stride or m.kernel_size, m.padding, m.dilation)
        )
        kernel = _extent(size, dilation)

        def valid(x: Tensor, stride: Pair = stride) -> Tensor:
            return F.max_pool2d(x, size, stride, 0, dilation)

        return Local(kernel, stride, pad, pad, -torch.inf, m, valid, m.ceil_mode, maximum=True)
    if isinstance(m, nn.AvgPool2d) and kind is nn.AvgPool2d and not m.ceil_mode:
        size, stride, pad = map(_pair, (m.kernel_size, m.stride or m.kernel_size, m.padding))
        if any(pad) and not m.count_include_pad:
            return None

        def valid(x: Tensor, stride: Pair = stride) -> Tensor:
            return F.avg_pool2d(x, size, stride, divisor_override=m.divisor_override)

        return Local(size, stride, pad, pad, 0.0, m, valid)
    if isinstance(m, nn.ConstantPad2d) and min(m.padding) >= 0:
        left, right, top, bottom = m.padding
        return Local(
            (1, 1), (1, 1), (top, left), (bottom, right), m.value, m, lambda x, stride=1: x
        )
    if kind is nn.ReLU:
        return Pointwise(F.relu, relu=True)
    if isinstance(m, _BatchNorm):
        return Pointwise(m) if kind is nn.BatchNorm2d and not _of_the_batch(m) else None
    if isinstance(m, nn.Dropout | nn.Dropout2d):
        return None if m.training else Pointwise(m)
    return Pointwise(m) if kind in _POINTWISE and not getattr(m, "inplace", False) else None


def spans(module: nn.Module | None) -> bool:
    """Whether a module is a convolution or pooling that looks further than one cell."""
    kind = isinstance(module, _ConvNd | _MaxPoolNd | _AvgPoolNd)
    return kind and getattr(module, "kernel_size", 1) not in (1, (1, 1))


viewers: "WeakSet[nn.Module]" = WeakSet()
"""The networks that were found to flatten maps with ``view``, which wants them row by row."""


def output(model: nn.Module, x: Tensor) -> Any:
    """A network's output; one that cannot do with channels last is turned to rows."""
    if model not in viewers:
        try:
            return model(x)
        except RuntimeError as error:
            if "view size is not compatible" not in str(error):
                raise
        viewers.add(model)
        with torch.inference_mode(False):  # The weights may be trained later.
            for weight in model.parameters():
                # With one channel both layouts are contiguous: a copy alone settles the strides.
                weight.data = weight.data.clone(memory_format=torch.contiguous_format)
    return model(x.clone(memory_format=torch.contiguous_format))


def counted(call: Callable[[], Any]) -> tuple[Any, int]:
    """What a call returns, always with the same random numbers, and its multiply-adds."""
    with seeded(0), FlopCounterMode(display=False) as counter:
        out = call()
    return out, counter.get_total_flops() // 2


def agree(a: Any, b: Any) -> bool:
    """Whether two outputs are the same to half their digits; NaN agrees with anything."""
    return all(
        bool(
            ((x - y).abs().max() <= torch.finfo(x.dtype).eps ** 0.5 * x.abs().max())
            | x.isnan().any()
        )
        for x, y in zip(tree_leaves(a), tree_leaves(b), strict=True)
    )


def hooked(model: nn.Module) -> bool:
    """Whether anybody wants to see what goes through a part of the network."""
    return any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def trains_batch_norm(model: nn.Module) -> bool:
    """Whether a normalisation takes its statistics from the batch, or keeps statistics of it."""
    return any(
        _of_the_batch(m)
        if isinstance(m, _BatchNorm)
        else isinstance(m, _InstanceNorm) and m.training and m.track_running_stats
        for m in model.modules()
    )


def _of_the_batch(m: _BatchNorm) -> bool:
    return m.training or m.running_mean is None


def _in_place(node: fx.Node, model: nn.Module) -> bool:
    if node.op == "call_module":
        return bool(getattr(model.get_submodule(str(node.target)), "inplace", False))
    name = str(getattr(node.target, "__name__", node.target))
    return bool(node.kwargs.get("inplace")) or name.endswith("_") or name == "iadd"


def _extent(kernel: tuple[int, ...], dilation: tuple[int, ...]) -> Pair:
    return dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1


def _pair(size: int | tuple[int, ...]) -> Pair:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
