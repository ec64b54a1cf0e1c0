"""Net: wires the layers of a prototxt and runs them forward and backward."""

import os
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.checkpoint import checkpoint

from caffe import batching, caffemodel, debug_info, graph, hdf5, layer_view, weights, weights_file
from caffe.batching import Arrays
from caffe.blob import Blob
from caffe.device import current_device
from caffe.errors import CaffeError
from caffe.layer import Layer, Shape
from caffe.layers.memory_data import MemoryData
from caffe.memory import keep_freed_memory
from caffe.net_log import NetLog
from caffe.parallel import NCCL
from caffe.param_table import ParamTable
from caffe.precision import low_type
from caffe.proto import caffe_pb2
from caffe.prototxt import read_text
from caffe.python_layer import PythonLayer
from caffe.recompute import stretches
from caffe.registry import layer_class

_AUTOMATIC = "(automatic)"  # what Caffe calls the top of a loss layer that names none
_SMALL = 2**22  # numbers in the blobs of a net that keeps their diffs anyway: time, memory
_PHASES = {"TRAIN": caffe_pb2.TRAIN, "TEST": caffe_pb2.TEST}


class _Top(NamedTuple):
    """A top by where it is made; a blob that layers change in place has several."""

    layer: int
    place: int


class _Overwrite(torch.autograd.Function):
    """The user's new numbers in place of a computed tensor; its gradient passes through.

    This is what writing into `net.blobs[x].data` and running on from there does in Caffe.
    """

    @staticmethod
    def forward(ctx, computed, written):
        ctx.device = computed.device
        return written.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad.to(ctx.device), None


class Net:
    """A net in one phase: pycaffe's `Net`.

    Net(network_file, phase), Net(network_file, weights_file, phase) or
    Net(network_file, phase, level=0, stages=None, weights=None). `network_file` may also be a
    NetParameter. blobs, params, layer_dict are OrderedDicts in the net's order.

    Raises CaffeError naming file and line, or the layer, for anything that does not fit.
    """

    def __init__(
        self,
        network_file: str | os.PathLike | caffe_pb2.NetParameter,
        *args: Any,
        phase: "caffe_pb2.Phase | None" = None,  # quoted: at run time Phase is no class
        weights: str | os.PathLike | None = None,
        level: int = 0,
        stages: Sequence[str] | None = None,
    ) -> None:
        keep_freed_memory()
        phase, weights, level, stages = _arguments(args, phase, weights, level, stages)
        param = self._read(network_file)
        param.state.level = level
        param.state.stage.extend(stages or [])
        self._param = graph.prepare(param, phase)
        self.name, self.phase = self._param.name, phase
        self._layers: list[Layer] = []
        self._following: list[int] = []  # the layers that the net gives no phase of their own
        self._blobs: OrderedDict[str, Blob] = OrderedDict()
        self._made: dict[str, _Top] = {}  # the last top of each blob's name
        self._sources: list[list[_Top]] = []  # the tops that each layer's bottoms are
        self._loss_weights: dict[_Top, float] = {}
        self._values: dict[str, torch.Tensor] = {}  # what each blob's last layer computed
        self._edges: dict[_Top, Any] = {}  # where autograd has each top, None without a gradient
        self._params = ParamTable(force=self._param.force_backward)
        self._callbacks: dict[str, list[Callable[[int], object]]] = defaultdict(list)
        self.debug_info = self._param.debug_info
        self.recompute = False  # see caffe/recompute.py
        self.loss_scale = 1.0  # a factor on the gradients of all losses, see caffe/precision.py
        log = NetLog(self._param)
        for layer_param in self._param.layer:
            self._append(layer_param, log)
        self._finish()
        log.done(self._outputs)
        if weights is not None:
            self.copy_from(weights)

    @staticmethod
    def _read(network_file: Any) -> caffe_pb2.NetParameter:
        param = caffe_pb2.NetParameter()
        if isinstance(network_file, caffe_pb2.NetParameter):
            param.CopyFrom(network_file)
            return param
        return read_text(network_file, param)

    # -- construction ------------------------------------------------------------------------------

    def _append(self, layer_param: caffe_pb2.LayerParameter, log: NetLog) -> None:
        cls = layer_class(layer_param.type, layer_param.name)
        if cls.is_loss and not layer_param.top:
            layer_param.top.append(self._automatic_top())
        log.creating(layer_param)
        if not layer_param.HasField("phase"):
            self._following.append(len(self._layers))
            layer_param.phase = self.phase
        layer = cls(layer_param, layer_param.phase)
        if len(layer_param.propagate_down) not in (0, len(layer_param.bottom)):
            count = len(layer_param.propagate_down)
            layer.fail(f"expected one propagate_down per bottom, got {count}")
        index = len(self._layers)
        if layer_param.bottom:
            layer.made_by = self._layers[self._made[layer_param.bottom[0]].layer].type
        shapes = [self._blobs[name].shape for name in layer_param.bottom]
        with layer.naming(shapes):
            layer.setup(*shapes)
            _take_given(layer)
            self._params.add(layer)
            top_shapes = layer.top_shapes(*shapes)
            self._make_tops(index, layer, top_shapes)
        self._layers.append(layer)
        self._weigh_losses(index, layer)
        weights = self._loss_weights.items()
        log.made(layer, top_shapes, {top.place: w for top, w in weights if top.layer == index})

    def _automatic_top(self) -> str:
        count = sum(name.startswith(_AUTOMATIC) for name in self._blobs)
        return f"{_AUTOMATIC}_{count}" if count else _AUTOMATIC

    def _make_tops(self, index: int, layer: Layer, shapes: Sequence[Shape]) -> None:
        self._sources.append([self._made[name] for name in layer.layer_param.bottom])
        for j, (name, shape) in enumerate(zip(layer.layer_param.top, shapes, strict=True)):
            blob = self._blobs.setdefault(name, Blob())
            blob.reshape(*shape)
            self._made[name] = _Top(index, j)
        layer.attach(*(self._blobs[name] for name in layer.layer_param.top))

    def _weigh_losses(self, index: int, layer: Layer) -> None:
        given = list(layer.layer_param.loss_weight)
        if given and len(given) != len(layer.layer_param.top):
            layer.fail(f"expected one loss_weight per top, got {len(given)}")
        default = [1.0] if layer.is_loss else []
        for j, weight in enumerate(given or default):
            if weight:
                self._loss_weights[_Top(index, j)] = weight
                blob = self._blobs[layer.layer_param.top[j]]
                blob.store_diff(torch.full(blob.shape, weight))

    def _finish(self) -> None:
        read = {source for sources in self._sources for source in sources}
        self._views = [layer_view.view(layer) for layer in self._layers]
        inputs = [layer for layer in self._layers if layer.type == "Input"]
        self._inputs = [name for layer in inputs for name in layer.layer_param.top]
        self._outputs = sorted(  # Caffe keeps them in a set
            name
            for name, made in self._made.items()
            if made not in read and not name.startswith(_AUTOMATIC)
        )
        forced = zip(self._layers, self._sources, strict=True)
        self._forced = {
            source
            for layer, sources in forced
            for source, wanted in zip(sources, layer.layer_param.propagate_down, strict=False)
            if wanted
        }

    # -- what pycaffe shows ------------------------------------------------------------------------

    @property
    def blobs(self) -> OrderedDict[str, Blob]:
        return self._blobs

    @property
    def params(self) -> OrderedDict[str, list[Blob]]:
        pairs = [(layer.name, layer.blobs) for layer in self._layers if layer.blobs]
        return OrderedDict(pairs)

    @property
    def layers(self) -> list[PythonLayer]:
        """Each layer's type, name, blobs, setup, reshape; Python layers are the user's objects."""
        return self._views

    @property
    def layer_dict(self) -> OrderedDict[str, PythonLayer]:
        return OrderedDict(zip(self._layer_names, self._views, strict=True))

    @property
    def inputs(self) -> list[str]:
        return self._inputs

    @property
    def outputs(self) -> list[str]:
        return self._outputs

    @property
    def _layer_names(self) -> list[str]:
        return [layer.name for layer in self._layers]

    @property
    def _blob_names(self) -> list[str]:
        return list(self._blobs)

    def _bottom_ids(self, i: int) -> list[int]:
        """Where in `_blob_names` the bottoms of layer i are."""
        return [self._blob_names.index(name) for name in self._layers[i].layer_param.bottom]

    def _top_ids(self, i: int) -> list[int]:
        """Where in `_blob_names` the tops of layer i are."""
        return [self._blob_names.index(name) for name in self._layers[i].layer_param.top]

    @property
    def top_names(self) -> OrderedDict[str, list[str]]:
        return OrderedDict((la.name, list(la.layer_param.top)) for la in self._layers)

    @property
    def bottom_names(self) -> OrderedDict[str, list[str]]:
        return OrderedDict((la.name, list(la.layer_param.bottom)) for la in self._layers)

    @property
    def blob_loss_weights(self) -> OrderedDict[str, float]:
        weigh = {self._name_of(top): weight for top, weight in self._loss_weights.items()}
        return OrderedDict((name, weigh.get(name, 0.0)) for name in self._blobs)

    def named_layers(self) -> list[tuple[str, Layer]]:
        """All layers but Splits by what weights files store them under: names, made different."""
        layers = [layer for layer in self._layers if layer.type != "Split"]
        return [*zip(weights.keys(layers), layers, strict=True)]

    def learnable(self) -> list[tuple[Blob, caffe_pb2.ParamSpec]]:
        """Each parameter blob once, with its lr_mult and decay_mult, in the net's order."""
        return self._params.learnable()

    def _name_of(self, top: _Top) -> str:
        return self._layers[top.layer].layer_param.top[top.place]

    # -- running -----------------------------------------------------------------------------------

    def reshape(self) -> None:
        """Carry changed input shapes through all layers without computing anything."""
        for layer in self._layers:
            shapes = [self._blobs[name].shape for name in layer.layer_param.bottom]
            with layer.naming(shapes):
                top_shapes = layer.top_shapes(*shapes)
            for name, shape in zip(layer.layer_param.top, top_shapes, strict=True):
                self._blobs[name].reshape(*shape)

    def _bottom(self, name: str, device: torch.device) -> torch.Tensor:
        """The blob as the next layer reads it: computed, or as the user changed it since."""
        current = self._blobs[name].tensor(device)
        computed = self._values.get(name)
        if computed is None or current is computed:
            return current
        if not computed.requires_grad or computed.shape != current.shape:
            return current
        return _Overwrite.apply(computed, current)

    def _compute(
        self, index: int, bottoms: Sequence[torch.Tensor], device: torch.device
    ) -> tuple[torch.Tensor, ...]:
        layer = self._layers[index]
        down = layer.layer_param.propagate_down or [True] * len(bottoms)
        bottoms = [x if wanted else x.detach() for x, wanted in zip(bottoms, down, strict=True)]
        with layer.naming([tuple(bottom.shape) for bottom in bottoms]):
            return layer.run(*bottoms, device=device, low=low_type())

    def _compute_on(self, now: dict[str, torch.Tensor], index: int, device: torch.device) -> None:
        """Run a layer on tensors by blob name, into which its tops go."""
        param = self._layers[index].layer_param
        tops = self._compute(index, [now[name] for name in param.bottom], device)
        now.update(zip(param.top, tops, strict=True))

    def _run_layer(self, index: int, device: torch.device) -> None:
        param = self._layers[index].layer_param
        bottoms = [self._bottom(name, device) for name in param.bottom]
        tops = self._compute(index, bottoms, device)
        self._keep([_Top(index, j) for j in range(len(param.top))], tops)
        if self.debug_info:
            debug_info.forward(self._layers[index], tops)

    def _keep(self, tops: Sequence[_Top], values: Sequence[torch.Tensor]) -> None:
        for top, value in zip(tops, values, strict=True):
            if not value.requires_grad and self._wants_diff(top):
                value = value.detach().requires_grad_(True)
            edge = torch.autograd.graph.get_gradient_edge(value) if value.requires_grad else None
            self._edges[top] = edge
            self._values[self._name_of(top)] = value
            self._blobs[self._name_of(top)].store(value)

    def _run_stretch(self, stretch: range, device: torch.device) -> None:
        """Run layers of which only the tops that leave them are kept, see caffe/recompute.py."""
        entering, leaving = self._border(stretch)

        def run(*values: torch.Tensor) -> tuple[torch.Tensor, ...]:
            now = dict(zip(entering, values, strict=True))
            for i in stretch:
                self._compute_on(now, i, device)
            return tuple(now[self._name_of(top)] for top in leaving)

        bottoms = [self._bottom(name, device) for name in entering]
        self._keep(leaving, checkpoint(run, *bottoms, use_reentrant=False))
        inner = {self._name_of(top) for top in self._tops_of(stretch)}
        for name in inner - {self._name_of(top) for top in leaving}:
            self._values.pop(name, None)
            self._blobs[name].forget()

    def _border(self, stretch: range) -> tuple[list[str], list[_Top]]:
        """The blobs that layers of the stretch read from before it, and its tops to keep."""
        read = {source for i in stretch for source in self._sources[i]}
        behind = range(stretch.stop, len(self._layers))
        read_behind = {source for i in behind for source in self._sources[i]}
        entering = {self._name_of(source) for source in read if source.layer < stretch.start}
        leaving = [
            top
            for top in self._tops_of(stretch)
            if top in read_behind or top not in read or top in self._loss_weights
        ]
        return sorted(entering), leaving

    def _wants_diff(self, top: _Top) -> bool:
        """Whether the net asks for the gradient of a top that no parameter stands behind."""
        forced = self._param.force_backward and not self._layers[top.layer].layer_param.bottom
        return (forced or top in self._forced) and torch.is_grad_enabled()

    def _forward(self, start: int, end: int) -> float:
        """Run layers start..end (indices, both included); the weighted sum of their losses."""
        device = current_device()
        if (start, end) == (0, len(self._layers) - 1):
            self._release()  # or the last pass's memory would stay until this one has ended
        for index in range(start, end + 1):
            self._call("before_forward", index)
            self._run_layer(index, device)
            self._call("after_forward", index)
        return self._loss(range(start, end + 1))

    def _loss(self, layers: range) -> float:
        return sum(self._loss_of(top) for top in self._loss_weights if top.layer in layers)

    def _loss_of(self, top: _Top) -> float:
        value = self._values[self._name_of(top)].detach().sum()
        return float(value) * self._loss_weights[top]

    def _backward(self, start: int, end: int) -> None:
        """Gradients of layers start..end (start >= end), from the diffs of what leaves them."""
        if self._callbacks["before_backward"] or self._callbacks["after_backward"]:
            for index in range(start, end - 1, -1):
                self._call("before_backward", index)
                self._backward_at_once(range(index, index + 1))
                self._call("after_backward", index)
        else:
            self._backward_at_once(range(end, start + 1))
        if self.debug_info:
            for index in range(start, end - 1, -1):
                debug_info.backward(self._layers[index], self._differentiated(index))
            if (start, end) == (len(self._layers) - 1, 0):
                debug_info.norms(blob for blob, _ in self.learnable())

    def _differentiated(self, index: int) -> dict[str, Blob]:
        """The bottoms of a layer that get a gradient."""
        param = self._layers[index].layer_param
        stopped = {j for j, wanted in enumerate(param.propagate_down) if not wanted}
        return {
            name: self._blobs[name]
            for j, (name, source) in enumerate(zip(param.bottom, self._sources[index], strict=True))
            if self._has_gradient(source) and j not in stopped
        }

    def _backward_at_once(self, inside: range) -> None:
        read = {source for index in inside for source in self._sources[index]}
        roots = [
            top for top in self._tops_of(inside) if top not in read and self._has_gradient(top)
        ]
        # An in-place layer's blob ends with the gradient of its first version, as in Caffe.
        first = {self._name_of(top): top for top in sorted(read)[::-1] if self._has_gradient(top)}
        wanted = sorted(first.values())
        grads = self._differentiate(roots, wanted, inside, keep_graph=True)
        self._take_back(inside, wanted, grads)
        for top, grad in zip(wanted, grads, strict=True):
            blob = self._blobs[self._name_of(top)]
            if grad is None:
                grad = torch.zeros(blob.shape, device=current_device())
            blob.store_diff(grad)

    def _take_back(
        self, inside: range, wanted: Sequence[_Top], grads: Sequence[torch.Tensor | None]
    ) -> None:
        """Subtract what reached shared parameters through the layers before `inside`.

        autograd knows a parameter and not which layer uses it; those layers add their own part in
        their own turn.
        """
        before = {id(blob.owner) for i in range(inside.start) for blob in self._layers[i].blobs}
        shared = [
            (blob, leaf)
            for blob in self._params_of(inside)
            if id(blob) in before
            for leaf in blob.used.values()
        ]
        border = [
            (self._edges[top], grad)
            for top, grad in zip(wanted, grads, strict=True)
            if grad is not None and top.layer < inside.start
        ]
        if not shared or not border:
            return
        edges, entered = zip(*border, strict=True)
        leaves = [leaf for _, leaf in shared]
        passed = torch.autograd.grad(edges, leaves, entered, retain_graph=True, allow_unused=True)
        for (blob, _), grad in zip(shared, passed, strict=True):
            if grad is not None:
                blob.add_diff(-grad)

    def _has_gradient(self, top: _Top) -> bool:
        """Whether the last forward pass left something to differentiate there."""
        return self._edges.get(top) is not None

    def _differentiate(
        self, roots: list[_Top], wanted: list[_Top], layers: Iterable[int], keep_graph: bool
    ) -> Sequence[torch.Tensor | None]:
        """From the roots' diffs the gradients of `wanted`; the parameters' are added to theirs."""
        used = [(blob, leaf) for blob in self._params_of(layers) for leaf in blob.used.values()]
        params = [(blob, leaf) for blob, leaf in used if leaf.requires_grad]
        if not roots or not (wanted or params):
            return [None] * len(wanted)
        diffs = [self._root_diff(top) for top in roots]
        for top in wanted:
            self._blobs[self._name_of(top)].forget_diff()
        grads = torch.autograd.grad(
            [self._edges[top] for top in roots],
            [self._edges[top] for top in wanted] + [leaf for _, leaf in params],
            diffs,
            retain_graph=keep_graph,
            allow_unused=True,
        )
        for (blob, _), grad in zip(params, grads[len(wanted) :], strict=True):
            if grad is not None:
                blob.add_diff(grad)
        return grads[: len(wanted)]

    def _root_diff(self, top: _Top) -> torch.Tensor:
        name = self._name_of(top)
        value = self._values[name]
        diff = self._blobs[name].diff_tensor(value.device).to(value.dtype)
        return diff * self.loss_scale if top in self._loss_weights else diff

    def _tops_of(self, indices: Iterable[int]) -> list[_Top]:
        return [_Top(i, j) for i in indices for j in range(len(self._layers[i].layer_param.top))]

    def _params_of(self, indices: Iterable[int]) -> list[Blob]:
        blobs = {id(blob.owner): blob.owner for i in indices for blob in self._layers[i].blobs}
        return [blob for blob in blobs.values() if blob.learned]

    def forward_backward(self) -> float:
        """One training pass: the loss, and the parameters' gradients added to their diffs.

        The diffs of a large net's other blobs are kept only if somebody has looked at one of them
        before; otherwise, unless debug_info or a callback asks for what happens layer by layer, the
        pass frees its memory as it goes.
        """
        layers = range(len(self._layers))
        if self.debug_info or any(self._callbacks.values()) or self._keeps_diffs():
            loss = self._forward(0, layers[-1])
            self._backward(layers[-1], 0)
        else:
            loss = self._forward_stretches() if self.recompute else self._forward(0, layers[-1])
            roots = [top for top in self._loss_weights if self._has_gradient(top)]
            self._differentiate(roots, [], layers, keep_graph=False)
            # Losses have theirs, and what nothing is learned from has none.
            known = [*self._loss_weights, *(top for top, edge in self._edges.items() if not edge)]
            for name in self._blobs.keys() - set(map(self._name_of, known)):
                self._blobs[name].leave_out_diff()
        self._release()
        return loss

    def _keeps_diffs(self) -> bool:
        """Whether the diffs of all blobs outlive a training pass, as in Caffe."""
        blobs = self._blobs.values()
        small = sum(blob.count for blob in blobs) <= _SMALL
        return not self.recompute and (small or any(blob.diff_seen for blob in blobs))

    def _forward_stretches(self) -> float:
        """`_forward` of all layers, keeping what the backward pass cannot compute again."""
        device = current_device()
        for stretch in stretches(self._layers):
            if len(stretch) == 1:
                self._run_layer(stretch.start, device)
            else:
                self._run_stretch(stretch, device)
        return self._loss(range(len(self._layers)))

    def _release(self) -> None:
        """Forget the autograd graph; the blobs keep their numbers."""
        for name, value in self._values.items():
            self._values[name] = value.detach()
        for blob in self._blobs.values():
            blob.detach()
        self._edges.clear()

    def compute(
        self, inputs: Mapping[str, torch.Tensor], device: torch.device
    ) -> dict[str, torch.Tensor]:
        """The outputs for these tensors of all input blobs; the net's own blobs keep theirs."""
        now = {
            name: tensor.to(device) if tensor.is_floating_point() else tensor.to(device).float()
            for name, tensor in inputs.items()
        }
        for index, layer in enumerate(self._layers):
            if layer.type != "Input":
                self._compute_on(now, index, device)
        return {name: now[name] for name in self._outputs}

    def switch_phase(self, phase: "caffe_pb2.Phase") -> None:
        """Let the layers whose phase is the net's compute as in `phase` from now on."""
        self.phase = phase
        for index in self._following:
            self._layers[index].phase = self._views[index].phase = phase

    def before_forward(self, callback: Callable[[int], object]) -> None:
        """Call `callback(i)` before layer i computes; so do the other three around their passes."""
        self._callbacks["before_forward"].append(callback)

    def after_forward(self, callback: Callable[[int], object]) -> None:
        self._callbacks["after_forward"].append(callback)

    def before_backward(self, callback: Callable[[int], object]) -> None:
        self._callbacks["before_backward"].append(callback)

    def after_backward(self, callback: Callable[[int], object]) -> None:
        if not isinstance(callback, NCCL):  # which needs no call for every layer
            self._callbacks["after_backward"].append(callback)

    def _call(self, moment: str, index: int) -> None:
        for callback in self._callbacks[moment]:
            callback(index)

    def clear_param_diffs(self) -> None:
        """Set all parameters' diffs to zero."""
        for blob, _ in self.learnable():
            blob.clear_diff()

    def _index(self, name: str) -> int:
        names = self._layer_names
        if name not in names:
            raise CaffeError(f'net "{self.name}": no layer "{name}"; layers: {", ".join(names)}')
        return names.index(name)

    def forward(
        self,
        blobs: Iterable[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **kwargs: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Run the net, or the layers `start` to `end`; {name: data} of the outputs and `blobs`.

        kwargs: arrays for input blobs, with as many items as the blobs.
        """
        for name, array in kwargs.items():
            if name not in self._inputs:
                raise CaffeError(f'no input blob "{name}"; inputs: {", ".join(self._inputs)}')
            _fill(self._blobs[name].data, array, f'input blob "{name}"')
        first = self._index(start) if start is not None else 0
        last = self._index(end) if end is not None else len(self._layers) - 1
        self._forward(first, last)
        outputs = list(self._layers[last].layer_param.top) if end is not None else self._outputs
        return {name: self._blobs[name].data for name in [*outputs, *(blobs or [])]}

    def backward(
        self,
        diffs: Iterable[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **kwargs: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Run backward, or from layer `start` back to `end`; {name: diff} of inputs and `diffs`.

        kwargs: diffs for output blobs (or for the tops of `start`), of the blobs' shapes. Loss tops
        start with their loss_weight. Parameters' diffs add up until `clear_param_diffs`.
        """
        first = self._index(start) if start is not None else len(self._layers) - 1
        last = self._index(end) if end is not None else 0
        allowed = list(self._layers[first].layer_param.top) if start is not None else self._outputs
        for name, array in kwargs.items():
            if name not in allowed:
                raise CaffeError(f'no output blob "{name}" to set a diff of; there are {allowed}')
            _fill(self._blobs[name].diff, array, f'diff of blob "{name}"')
        self._backward(first, last)
        names = list(self._layers[last].layer_param.bottom) if end is not None else self._inputs
        return {name: self._blobs[name].diff for name in [*names, *(diffs or [])]}

    def forward_all(self, blobs: Iterable[str] | None = None, **kwargs: np.ndarray) -> Arrays:
        """`forward` over any number of items in batches of the net's own size.

        kwargs: an array for each input, items first. Returns outputs and `blobs` of all items.
        """
        return batching.forward_all(self, blobs, kwargs)

    def forward_backward_all(
        self,
        blobs: Iterable[str] | None = None,
        diffs: Iterable[str] | None = None,
        **kwargs: np.ndarray,
    ) -> tuple[Arrays, Arrays]:
        """`forward` and `backward` over any number of items in batches of the net's own size.

        kwargs: an array for each input and, for outputs that are no losses, their diffs. Returns
        (outputs and `blobs`, input diffs and `diffs`) of all items.
        """
        return batching.forward_backward_all(self, blobs, diffs, kwargs)

    def set_input_arrays(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Let the MemoryData layer that the net starts with run over these arrays from now on.

        data (n, C, H, W), labels (n) or (n, 1, 1, 1): C-contiguous float32, n a multiple of the
        batch size. They are not copied. Raises CaffeError if they or the net do not fit.
        """
        first = self._layers[0] if self._layers else None
        if not isinstance(first, MemoryData):
            raise CaffeError(
                f'net "{self.name}": set_input_arrays needs a first layer of type MemoryData, got '
                f'"{first.type if first else "none"}"'
            )
        first.reset(data, labels)

    # -- weights -----------------------------------------------------------------------------------

    def copy_from(self, path: str | os.PathLike) -> None:
        """Load the layers that the file (see caffe/weights_file.py) and the net have in common.

        They go together by name, see `caffe.weights.load`. Raises CaffeError naming the file and
        every blob that does not fit; then nothing was loaded.
        """
        weights.load(self._layers, weights_file.read(path), path)

    def load_hdf5(self, path: str | os.PathLike) -> None:
        """`copy_from` for an HDF5 file, whatever it is called."""
        weights.load(self._layers, hdf5.read(path), path)

    def save(self, path: str | os.PathLike, write_diff: bool = False) -> None:
        """Write all parameters, and with `write_diff` their diffs, as a binary .caffemodel.

        A path that ends in .h5 or .safetensors gives a file of that format.
        """
        weights_file.write(path, weights.of_net(self._layers, self.name, write_diff))

    def save_hdf5(self, path: str | os.PathLike, write_diff: bool = False) -> None:
        """`save` as an HDF5 file, whatever it is called."""
        hdf5.write(path, weights.of_net(self._layers, self.name, write_diff))

    def share_with(self, other: "Net") -> None:
        """Use the other net's parameters, by layer name, from now on.

        Raises CaffeError if one does not fit; then nothing is shared.
        """
        weights.share(self._layers, other._layers)


def _take_given(layer: Layer) -> None:
    """Start from the numbers that the net's text or message holds for the layer, if it does."""
    given = list(layer.layer_param.blobs)
    if given:
        where = f'layer "{layer.name}": its blobs'
        arrays: list[np.ndarray | None] = [caffemodel.net_blob(blob, where) for blob in given]
        weights.load([layer], weights.NetWeights([weights.LayerWeights(layer.name, arrays)]), where)
        del layer.layer_param.blobs[:]


def _fill(view: np.ndarray, array: np.ndarray, what: str) -> None:
    """Write an array of as many items as the view; other axes by numpy's rules, as in pycaffe."""
    try:
        fits = np.shape(array)[:1] == view.shape[:1]
        np.broadcast_to(array, view.shape)
    except ValueError:
        fits = False
    if not fits:
        raise CaffeError(f"{what}: expected an array {view.shape}, got {np.shape(array)}")
    view[...] = array


def _arguments(args, phase, weights, level, stages):
    """pycaffe's two call forms: (phase, level, stages, weights) and (weights_file, phase)."""
    values = list(args)
    if values and isinstance(values[0], str | os.PathLike):
        weights = values.pop(0)
        phase = values.pop(0) if values else phase
    elif values:
        phase = values.pop(0)
        level = values.pop(0) if values else level
        stages = values.pop(0) if values else stages
        weights = values.pop(0) if values else weights
    phase = _PHASES.get(phase, phase) if isinstance(phase, str) else phase
    if values or phase not in _PHASES.values():
        raise CaffeError(
            f"Net(network_file, phase, ...): phase must be caffe.TRAIN or caffe.TEST, got {phase!r}"
        )
    return phase, weights, level, stages
