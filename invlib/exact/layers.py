"""What a network's layers look at, and a walk through its graph with maps that are known in part.

Both shortcuts (``propagation``, ``dense``) hand a value that stands for feature maps through the
graph of a network. A layer that looks at a neighbourhood, a function of each value alone and a join
of branches have rules for such values; for anything else the value becomes the whole maps, an
ordinary tensor, and the network goes on as it is.
"""

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.pooling import _AvgPoolNd, _MaxPoolNd
from torch.nn.utils.parametrize import is_parametrized
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_structure, tree_unflatten

from invlib.exact.trial import Rows, of_the_batch, untouched

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
        valid: the layer without its padding; with a second argument it is computed at every cell,
            from cells that are so many times as far apart.
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


class Known(ABC):
    """Feature maps that are known in part; each method gives the value behind a layer."""

    @abstractmethod
    def local(self, layer: Local, align: Pair, kept: Any) -> "Known | None":
        """Behind a neighbourhood layer; None where there is no shortcut."""

    @abstractmethod
    def pointwise(self, layer: Pointwise, kept: Any) -> "Known":
        """Behind a function of each value."""

    @abstractmethod
    def joined(self, layer: Join, parts: "list[Any]", kept: Any) -> "Known | None":
        """Joined with others (itself among them); None where there is no shortcut."""

    @abstractmethod
    def whole(self) -> Tensor:
        """The whole maps."""

    def keep(self) -> Any:
        """What of it is the same for all inputs, given as ``kept`` the next time."""
        return None

    @staticmethod
    def pieces(values: "list[Any]") -> Iterator[list[Tensor]] | None:
        """The whole maps of several values, a few at a time; None where they may be had at once."""
        return None


class Walk(fx.Interpreter):
    """Runs a network's operations, as they are in its present mode, on a value known in part.

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
        NotTraced: where torch.fx cannot follow the code, or a trace would freeze what the code does
            anew each time.
    """

    def __init__(self, model: nn.Module) -> None:
        tracer, name = _Tracer(), type(model).__name__
        if "forward" in vars(model):
            raise NotTraced(f"{name} has a forward that its class does not know")
        try:
            with untouched(model) as done, tracer.made:
                graph = tracer.trace(model)
        except NotTraced:
            raise
        except Exception as error:  # whatever a forward does with a proxy
            raise NotTraced(f"torch.fx cannot trace {name}: {error}") from error
        inputs = [n for n in graph.nodes if n.op == "placeholder" and not n.args]
        made = tracer.made.tensors or any("_tensor_constant" in each for each in done)
        if made and "draws random numbers" not in done:
            done = ["makes tensors of its own"]
        if len(inputs) != 1:
            done.append("has not just one input")
        if done:
            raise NotTraced(f"{name} {done[0]}, which a trace cannot repeat")
        super().__init__(model, graph=graph)
        self.outputs, self.form, modules = tracer.outputs, tracer.form, self.submodules
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
        self.kept: dict[fx.Node, Any] | None = None

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
        self, x: Any, until: fx.Node | None = None, kept: dict[fx.Node, Any] | None = None
    ) -> Any:
        """The network's output, or the value behind a node.

        Args:
            x: the input.
            until: the node.
            kept: node -> what its value keeps between runs.
        """
        return self.values(x, [until or list(self.graph.nodes)[-1]], kept)[0]

    def values(
        self, x: Any, until: Sequence[fx.Node], kept: dict[fx.Node, Any] | None = None
    ) -> list[Any]:
        """The same for several nodes, in the graph's order, each before a later one changes it."""
        self.env, self.args_iter, self.kept, self.stopped = {}, iter([x]), kept, None
        try:
            return self._run(list(self.graph.nodes), until)
        finally:
            self.env, self.args_iter, self.kept = {}, iter(()), None

    def run_node(self, n: fx.Node) -> Any:
        """The value of a node that has no rule, or whose inputs are plain."""
        with Rows():
            return super().run_node(n)

    def _run(self, nodes: list[fx.Node], until: Sequence[fx.Node]) -> list[Any]:
        found: list[Any] = []
        for i, node in enumerate(nodes):
            held = [n for n in node.all_input_nodes if isinstance(self.env[n], Known)]
            value = self._shortcut(node, held) if held else None
            if held and value is None:
                if node not in self.layers:
                    self.stopped = self.stopped or node
                every = {id(v): v for v in self.env.values() if isinstance(v, Known)}
                pieces = self.env[held[0]].pieces(list(every.values()))
                if pieces is not None:
                    return found + self._in_pieces(every, pieces, nodes[i:], until[len(found) :])
                for each in held:  # From here on it is plain, also for the others who use it.
                    if isinstance(self.env[each], Known):
                        self._replace(self.env[each], self.env[each].whole())
            value = self.env[node] = self.run_node(node) if value is None else value
            if node.op == "output":  # torch.fx has containers of its own
                value = tree_unflatten(tree_leaves(value), self.form)
            if node is until[len(found)]:
                found.append(value)
                if len(found) == len(until):
                    break
                if isinstance(value, Tensor):  # A later layer may work in place.
                    found[-1] = value.clone()
            for used in self.user_to_last_uses.get(node, []):
                del self.env[used]
        return found

    def _in_pieces(self, every: Any, pieces: Any, nodes: Any, until: Any) -> list[Any]:
        """The rest of the run, for a part of the whole maps at a time."""
        env, outputs = self.env, []
        for maps in pieces:
            part = dict(zip(every, maps, strict=True))
            self.env = {node: part.get(id(value), value) for node, value in env.items()}
            outputs.append(self._run(nodes, until))
        return [torch.cat(parts) for parts in zip(*outputs, strict=True)]

    def _shortcut(self, n: fx.Node, held: list[fx.Node]) -> Known | None:
        layer = self.layers.get(n)
        if layer is None or len(held) < len(n.all_input_nodes):
            return None
        kept = None if self.kept is None else self.kept.get(n)
        value = self.env[held[0]]
        if isinstance(layer, Local):
            out = value.local(layer, self.align[n], kept)
        elif isinstance(layer, Pointwise):
            out = value.pointwise(layer, kept)
        else:
            parts = tree_leaves(n.args[0] if isinstance(n.args[0], list | tuple) else n.args)
            out = value.joined(layer, [self.env[node] for node in parts], kept)
        if out is not None and self.kept is not None:
            self.kept[n] = out.keep()
        if out is not None and not isinstance(layer, Local) and _in_place(n, self.module):
            self._replace(value, out)
        return out

    def _replace(self, old: Any, new: Any) -> None:
        for node, value in self.env.items():
            if value is old:
                self.env[node] = new


class _Made(TorchFunctionMode):
    """Inside, it is noted whether a tensor is computed, and not only its proxy."""

    tensors = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.tensors |= isinstance(out, Tensor)
        return out


class _Tracer(fx.Tracer):
    def __init__(self) -> None:
        super().__init__()
        self.outputs: dict[str, fx.Node] = {}
        self.made, self.form, self.modes = _Made(), tree_structure(0), _modes()

    def create_args_for_root(self, *args: Any, **kwargs: Any) -> Any:
        fn, inputs = super().create_args_for_root(*args, **kwargs)

        def noted(*args: Any) -> Any:
            self.form = tree_structure(out := fn(*args))
            return out

        return noted, inputs

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        if _modes() != self.modes:
            raise NotTraced(
                f"{type(self.root).__name__} switches gradients or precision on the way"
            )
        return super().create_node(*args, **kwargs)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        out = super().call_module(m, forward, args, kwargs)
        if isinstance(out, fx.Proxy):
            self.outputs[self.path_of_module(m)] = out.node
        return out


def _modes() -> tuple[Any, ...]:
    kinds = [(torch.is_autocast_enabled(k), torch.get_autocast_dtype(k)) for k in ("cpu", "cuda")]
    return torch.is_grad_enabled(), torch.is_inference_mode_enabled(), kinds


_POINTWISE = (
    nn.Identity, nn.LeakyReLU, nn.ReLU6, nn.Hardtanh, nn.ELU, nn.GELU, nn.SiLU, nn.Mish,
    nn.Hardswish, nn.Sigmoid, nn.Tanh,
)  # fmt: skip
_FUNCTIONS = (
    F.gelu, F.silu, F.leaky_relu, F.relu6, F.hardtanh, F.elu, F.hardswish, torch.sigmoid, torch.tanh
)  # fmt: skip
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
    if target in _FUNCTIONS:
        copies = _in_place(node)  # The background may be needed again.
        return Pointwise(lambda x: target(x.clone() if copies else x, *constants, **node.kwargs))
    return None


def _describe_module(m: nn.Module) -> Layer | None:
    kind = type(m).__base__ if is_parametrized(m) else type(m)
    if "forward" in vars(m):
        return None
    if isinstance(m, nn.Conv2d) and kind is nn.Conv2d and m.padding_mode == "zeros":
        left, right, top, bottom = m._reversed_padding_repeated_twice
        kernel, stride = _extent(m.kernel_size, m.dilation), _pair(m.stride)

        def valid(x: Tensor, apart: Pair | None = None) -> Tensor:
            step, dilation = _dense(stride, _pair(m.dilation), apart)
            return F.conv2d(x, m.weight, m.bias, step, 0, dilation, m.groups)

        return Local(kernel, stride, (top, left), (bottom, right), 0.0, m, valid)
    if isinstance(m, nn.MaxPool2d) and kind is nn.MaxPool2d and not m.return_indices:
        size, stride, pad, dilation = map(
            _pair, (m.kernel_size, m.stride or m.kernel_size, m.padding, m.dilation)
        )
        kernel = _extent(size, dilation)

        def valid(x: Tensor, apart: Pair | None = None) -> Tensor:
            step, spread = _dense(stride, dilation, apart)
            return F.max_pool2d(x, size, step, 0, spread)

        return Local(kernel, stride, pad, pad, -torch.inf, m, valid, m.ceil_mode, maximum=True)
    if isinstance(m, nn.AvgPool2d) and kind is nn.AvgPool2d and not m.ceil_mode:
        size, stride, pad = map(_pair, (m.kernel_size, m.stride or m.kernel_size, m.padding))
        if any(pad) and not m.count_include_pad:
            return None

        def valid(x: Tensor, apart: Pair | None = None) -> Tensor:
            if apart is None:
                return F.avg_pool2d(x, size, stride, divisor_override=m.divisor_override)
            for dim, (cells, by) in enumerate(zip(size, apart, strict=True), 2):
                length = x.shape[dim] - by * (cells - 1)
                x = torch.stack([x.narrow(dim, i * by, length) for i in range(cells)]).sum(0)
            return x / (m.divisor_override or size[0] * size[1])

        return Local(size, stride, pad, pad, 0.0, m, valid)
    if isinstance(m, nn.ConstantPad2d) and min(m.padding) >= 0:
        left, right, top, bottom = m.padding
        return Local(
            (1, 1), (1, 1), (top, left), (bottom, right), m.value, m, lambda x, apart=None: x
        )
    if kind is nn.ReLU:
        return Pointwise(F.relu, relu=True)
    if isinstance(m, _BatchNorm):
        return Pointwise(m) if kind is nn.BatchNorm2d and not of_the_batch(m) else None
    dropout = kind in (nn.Dropout, nn.Dropout2d) and not m.training
    if not dropout and kind not in _POINTWISE:
        return None
    if not getattr(m, "inplace", False):
        return Pointwise(m)
    twin = copy(m)  # The background may be needed again.
    twin.inplace = False  # type: ignore[assignment]
    return Pointwise(twin)


def spans(module: nn.Module | None) -> bool:
    """Whether a module is a convolution or pooling that looks further than one cell."""
    kind = isinstance(module, _ConvNd | _MaxPoolNd | _AvgPoolNd)
    return kind and getattr(module, "kernel_size", 1) not in (1, (1, 1))


def _in_place(node: fx.Node, model: nn.Module | None = None) -> bool:
    """Whether a pointwise operation or a join changes its input."""
    if model is not None and node.op == "call_module":
        return bool(getattr(model.get_submodule(str(node.target)), "inplace", False))
    name = str(getattr(node.target, "__name__", node.target))
    flag = any(each is True for each in node.args)  # the only one such a function has
    return flag or bool(node.kwargs.get("inplace")) or name.endswith("_") or name == "iadd"


def _extent(kernel: tuple[int, ...], dilation: tuple[int, ...]) -> Pair:
    return dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1


def _dense(stride: Pair, dilation: Pair, apart: Pair | None) -> tuple[Pair, Pair]:
    """Stride and dilation of a layer, or of the same at every cell with its inputs apart."""
    if apart is None:
        return stride, dilation
    return (1, 1), (dilation[0] * apart[0], dilation[1] * apart[1])


def _pair(size: int | tuple[int, ...]) -> Pair:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
