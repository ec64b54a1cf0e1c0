"""The base class of all layers that compute on tensors.

A layer is its `forward`; PyTorch's autograd does the backward pass. Shapes at net construction come
from running `forward` on tensors of the "meta" device, which have a shape and no numbers.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn, TypeVar

import torch

from caffe.blob import Blob
from caffe.errors import CaffeError
from caffe.filler import fill
from caffe.proto import caffe_pb2

Shape = tuple[int, ...]
Count = int | tuple[int, int | None]
Errors = tuple[type[Exception], ...]
_T = TypeVar("_T")
_LESS = (torch.bfloat16, torch.float16)


def _within(count: int, allowed: Count) -> bool:
    if isinstance(allowed, int):
        return count == allowed
    low, high = allowed
    return low <= count and (high is None or count <= high)


def _words(allowed: Count) -> str:
    if isinstance(allowed, int):
        return str(allowed)
    low, high = allowed
    return f"at least {low}" if high is None else f"{low} to {high}"


class Layer:
    """One layer of a net.

    Subclasses set `bottoms` and `tops` (an exact count, or (least, most) with None for no bound),
    `is_loss` (the first top then has loss_weight 1 unless the net says otherwise), create their
    parameters in `setup` and compute in `forward`.
    """

    type = ""
    bottoms: Count = 1
    tops: Count = 1
    is_loss = False
    # What it computes in where nets compute in less than float32, see caffe/precision.py: "low" in
    # that, "any" in what its bottoms come in, "full" in float32.
    arithmetic = "full"
    # Whether a second forward pass on the same bottoms gives the same tops and changes nothing.
    repeatable = True
    # What reaches the net's caller as it is; see `naming`.
    passes: Errors = (CaffeError, torch.cuda.OutOfMemoryError)

    def __init__(self, layer_param: caffe_pb2.LayerParameter, phase: int) -> None:
        self.layer_param = layer_param
        self.phase = phase
        self.blobs: list[Blob] = []
        self.made_by = ""  # the type of the layer that makes the first bottom
        self._device = torch.device("cpu")
        self._low: torch.dtype | None = None
        for kind, names, allowed in (
            ("bottom", layer_param.bottom, self.bottoms),
            ("top", layer_param.top, self.tops),
        ):
            if not _within(len(names), allowed):
                self.fail(f"expected {_words(allowed)} {kind} blob(s), got {len(names)}")

    @property
    def name(self) -> str:
        return self.layer_param.name

    def fail(self, message: str) -> NoReturn:
        """Raise CaffeError with this layer's name and type in front."""
        raise CaffeError(f'layer "{self.name}" ({self.type}): {message}')

    def one_each(self, values: Sequence[_T], count: int, name: str) -> list[_T]:
        """`count` of `values`, of which the net gives one for all or one each."""
        if len(values) not in (1, count):
            wanted = "1" if count == 1 else f"1 or {count}"
            self.fail(f"expected {wanted} {name}, got {len(values)}")
        return list(values) * (count if len(values) == 1 else 1)

    @contextmanager
    def naming(self, bottom_shapes: Sequence[Shape]) -> Iterator[None]:
        """Turn what operators and PyTorch raise for such bottoms into a CaffeError of this layer.

        The net runs setup, top_shapes and forward in it, so nothing that they call needs to know
        the layer: fillers and operators raise ValueError.
        """
        try:
            yield
        except self.passes:
            raise
        except (RuntimeError, ValueError, IndexError) as error:
            text = " ".join(str(error).split())
            shapes = ", ".join(map(str, bottom_shapes))
            self.fail(f"{text} (bottoms of shape {shapes})" if shapes else text)

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check the parameters against the bottoms and create the blobs; called once."""

    def attach(self, *tops: Blob) -> None:
        """Take the tops' blobs, with their shapes; for layers whose tops the user may fill."""

    def forward(self, *bottoms: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Compute the tops from the bottoms."""
        raise NotImplementedError

    def add_blob(self, shape: Shape, filler: caffe_pb2.FillerParameter | None = None) -> None:
        """Append a learned blob; without a filler it holds zeros."""
        blob = Blob(shape, learned=True)
        blob.store(fill(shape, filler or caffe_pb2.FillerParameter()))
        self.blobs.append(blob)

    @property
    def weights(self) -> list[torch.Tensor]:
        """The blobs as tensors, where and in what the running forward pass computes."""
        if self._device.type == "meta":
            return [torch.empty(blob.shape, device="meta") for blob in self.blobs]
        low = self._low if self.arithmetic == "low" else None
        weights = [blob.use(self._device, low) for blob in self.blobs]
        return [self._cast(weight) for weight in weights] if low else weights

    def run(
        self, *bottoms: torch.Tensor, device: torch.device, low: torch.dtype | None = None
    ) -> tuple[torch.Tensor, ...]:
        """`forward` on `device`, its result always a tuple; `low`: see `arithmetic`."""
        self._device, self._low = device, low
        out = self.forward(*map(self._cast, bottoms))
        return out if isinstance(out, tuple) else (out,)

    def _cast(self, tensor: torch.Tensor) -> torch.Tensor:
        if self.arithmetic == "full" and tensor.dtype in _LESS:
            return tensor.float()
        if self.arithmetic == "low" and self._low and tensor.dtype in (torch.float32, *_LESS):
            return tensor.to(self._low)
        return tensor

    def top_shapes(self, *bottom_shapes: Shape) -> list[Shape]:
        """The tops' shapes; layers that cannot run on meta tensors override this."""
        meta = torch.device("meta")
        with torch.no_grad():
            bottoms = [torch.empty(shape, device=meta) for shape in bottom_shapes]
            return [tuple(top.shape) for top in self.run(*bottoms, device=meta)]
