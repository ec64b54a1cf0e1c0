"""Blobs: numpy arrays for the user, torch tensors for the engine, one set of numbers.

Caffe's blob keeps its numbers on the host, on the device or on both and copies when somebody looks.
`_Mirror` does the same for one array: as long as nobody asks for the numpy view, the engine's
tensor is all there is. Once a view was handed out it keeps its memory: the engine writes new
results into it, and what the user wrote into it is what the engine reads next.
"""

import math
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch

_CPU = torch.device("cpu")
_MOST = 2**31 - 1  # Caffe counts a blob's numbers in an int


def checked_shape(shape: Iterable[int]) -> tuple[int, ...]:
    """The shape as a tuple; ValueError for a negative axis or more numbers than Caffe allows.

    Nothing is allocated before, so a net cannot ask for more memory than a blob may have.
    """
    checked = tuple(int(n) for n in shape)
    if any(n < 0 for n in checked):
        raise ValueError(f"expected axes of at least 0, got a blob of shape {checked}")
    if math.prod(checked) > _MOST:
        raise ValueError(f"expected a blob of at most {_MOST} numbers, got shape {checked}")
    return checked


def _as_host(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().to(_CPU, torch.float32).contiguous().numpy()


def _shares(tensor: torch.Tensor, host: np.ndarray) -> bool:
    """Whether both are the same memory."""
    return tensor.device.type == "cpu" and tensor.data_ptr() == host.ctypes.data


class _Lowered(NamedTuple):
    """A tensor converted to another type, and what it was converted from."""

    source: torch.Tensor
    version: int
    views: int
    leaf: torch.Tensor

    def is_of(self, source: torch.Tensor, version: int, views: int) -> bool:
        """Whether it is the conversion of these numbers."""
        return self.source is source and (self.version, self.views) == (version, views)


class _Mirror:
    """One float32 array, seen as a C-contiguous numpy array and as a tensor."""

    __slots__ = ("home", "host", "layout", "low", "pending", "stale", "tensor", "touched", "views")

    def __init__(self) -> None:
        self.home: tuple[torch.nn.Module, str] | None = None  # see `lodge`
        self.tensor: torch.Tensor | None = None
        self.host: np.ndarray | None = None
        self.stale = False  # the tensor on a device is newer than the host array
        self.touched = False  # the host array may hold what the user wrote
        self.layout: torch.memory_format | None = None  # that the engine likes on the CPU
        self.pending: Callable[[], torch.Tensor] | None = None  # gives the tensor if asked for
        self.views = 0  # how often somebody asked for the numpy array
        self.low: _Lowered | None = None  # the tensor in less than float32

    def lodge(self, holder: torch.nn.Module, name: str) -> None:
        """Be the holder's parameter of that name from now on, whichever tensor PyTorch has there.

        Its numpy view is a copy that cannot be written where the two have no memory in common.
        """
        self.home, self.tensor, self.host = (holder, name), None, None

    def defer(self, compute: Callable[[], torch.Tensor]) -> None:
        """Take a result that is computed when somebody looks, which may be never."""
        self.pending = compute
        if self.host is not None:  # somebody may be looking at it
            self._settle()

    def _settle(self) -> None:
        if self.pending is not None:
            self.write(self.pending())

    def view(self, shape: tuple[int, ...]) -> np.ndarray:
        """The numpy array; zeros if nothing was ever computed."""
        if self.home:
            tensor = getattr(*self.home)
            host = _as_host(tensor)
            if not _shares(tensor, host):
                host.flags.writeable = False
            return host
        self._settle()
        if self.host is None:
            if self.tensor is None or self.tensor.device.type == "meta":
                self.host = np.zeros(shape, np.float32)
            else:
                self.host = _as_host(self.tensor)
        elif self.stale:
            assert self.tensor is not None, "stale says that the tensor is newer"
            np.copyto(self.host, _as_host(self.tensor))
        self.stale, self.touched = False, True
        self.views += 1
        return self.host

    def read(self, shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
        """The numbers as a tensor on `device`, with what the user wrote."""
        if self.home:
            return getattr(*self.home).to(device)
        self._settle()
        if self.touched and self.host is not None:
            if device.type != "cpu":
                self.tensor, self.touched = torch.from_numpy(self.host).to(device), False
            elif self.layout and self._is_unseen():
                self.tensor = torch.from_numpy(self.host).contiguous(memory_format=self.layout)
                self.host, self.touched = None, False
            elif self.tensor is None or not _shares(self.tensor, self.host):
                self.tensor = torch.from_numpy(self.host)
        elif self.tensor is None:
            self.tensor = torch.zeros(shape, device=device)
        elif self.tensor.device != device and self.host is not None and device.type == "cpu":
            self.tensor = torch.from_numpy(self.view(shape))
        elif self.tensor.device != device:
            self.tensor = self.tensor.detach().to(device)
        return self.tensor

    def lowered(self, tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor | None:
        """What `read` gave in another type, a leaf, converted again only where it has changed.

        None if that cannot be known: a module's parameter, or memory that somebody else writes to.
        """
        held = self.host is not None and tensor.device.type == "cpu" and not self._is_unseen()
        if self.home or held or not tensor.is_leaf:
            self.low = None
            return None
        source = (tensor, tensor._version, self.views)
        low = self.low
        if low is None or low.leaf.dtype != dtype or not low.is_of(*source):
            low = self.low = _Lowered(*source, tensor.detach().to(dtype))
        return low.leaf

    def _is_unseen(self) -> bool:
        """Whether nobody holds the numpy array, or a view into it, any more."""
        return sys.getrefcount(self.host) == 2  # self.host and the argument

    def write(self, tensor: torch.Tensor) -> None:
        """Take the engine's result; views handed out before stay current."""
        if self.home:
            with torch.no_grad():
                getattr(*self.home).copy_(tensor)
            return
        self.tensor, self.pending, self.low = tensor, None, None
        if self.host is None:
            return
        on_device = tensor.device.type != "cpu"
        # What nobody holds may be another blob's memory too, from when both were on the CPU.
        if self.host.shape != tuple(tensor.shape) or (on_device and self._is_unseen()):
            self.host, self.stale, self.touched = None, False, False
        elif on_device:
            self.stale, self.touched = True, False
        elif not _shares(tensor, self.host):
            np.copyto(self.host, _as_host(tensor))
            self.stale, self.touched = False, True

    def is_empty(self) -> bool:
        """Whether it holds zeros that nobody has looked at."""
        return self.tensor is None and self.pending is None and not self.touched

    def clear(self) -> None:
        """Back to zeros, without touching memory unless somebody holds the view."""
        self.tensor = self.pending = None
        if self.host is not None:
            self.host.fill(0)
            self.stale, self.touched = False, True

    def forget(self) -> None:
        """Give the memory back unless somebody holds the view; zeros until something is written."""
        if self.host is None or self._is_unseen():
            self.host = self.tensor = self.pending = None
            self.stale, self.touched = False, False

    def resize(self, shape: tuple[int, ...]) -> None:
        """Keep the numbers if the count stays, as Caffe does; otherwise start from zeros."""
        self._settle()
        count = math.prod(shape)
        if self.host is not None:
            self.host = self.host.reshape(shape) if self.host.size == count else None
        if self.tensor is not None:
            keep = self.tensor.numel() == count and self.tensor.device.type != "meta"
            self.tensor = self.tensor.detach().reshape(shape) if keep else None
        if self.host is None:
            self.stale, self.touched = False, False


class Blob:
    """An N-d array with its gradient: pycaffe's `Blob`.

    data, diff: C-contiguous, writable float32 arrays of `shape`. They stay valid and current while
    the shape stays. A parameter's diff accumulates until it is cleared.
    """

    def __init__(self, shape: Iterable[int] = (), learned: bool = False) -> None:
        self._shape = checked_shape(shape)
        self._data, self._diff = _Mirror(), _Mirror()
        self.learned = learned  # whether autograd differentiates with respect to it
        # The leaves that the last forward pass computed with, by their type.
        self.used: dict[torch.dtype, torch.Tensor] = {}
        self._left_out = False  # see `leave_out_diff`

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def data(self) -> np.ndarray:
        return self._data.view(self._shape)

    @property
    def diff(self) -> np.ndarray:
        if self._left_out:
            self._left_out = False
            warnings.warn(
                "the training pass of this large net left out the blobs' diffs: this one is zeros; "
                "the next pass keeps them all, since somebody looks at them",
                stacklevel=2,
            )
        return self._diff.view(self._shape)

    @property
    def diff_seen(self) -> bool:
        """Whether somebody has asked for `diff`."""
        return self._diff.views > 0

    def leave_out_diff(self) -> None:
        """Say so to the first who asks for `diff`: it is not that of the last pass."""
        self._left_out = True

    @property
    def count(self) -> int:
        return math.prod(self._shape)

    def _legacy(self, axis: int) -> int:
        if len(self._shape) > 4:
            raise ValueError(f"num/channels/height/width need at most 4 axes, got {self._shape}")
        return self._shape[axis] if axis < len(self._shape) else 1

    num = property(lambda self: self._legacy(0))
    channels = property(lambda self: self._legacy(1))
    height = property(lambda self: self._legacy(2))
    width = property(lambda self: self._legacy(3))

    def reshape(self, *shape: int) -> None:
        """Set the shape; `Net.reshape` or the next forward carries it to the layers behind."""
        new = checked_shape(shape)
        if new != self._shape:
            self._shape = new
            self._data.resize(new)
            self._diff.resize(new)

    def prefer(self, layout: torch.memory_format) -> None:
        """Keep the data's tensor in this memory format while no numpy view of it is held."""
        self._data.layout = layout
        if self._data.tensor is not None:
            self._data.tensor = self._data.tensor.contiguous(memory_format=layout)

    @property
    def owner(self) -> "Blob":
        """The blob whose numbers these are: itself, unless it is shared in another shape."""
        return self

    # What follows is the engine's side; users of pycaffe see only the numpy views above.

    def tensor(self, device: torch.device = _CPU) -> torch.Tensor:
        """data as a tensor on `device`, with what the user wrote into the view."""
        tensor = self._data.read(self._shape, device)
        if self.learned and tensor.is_leaf and not self._data.home:
            tensor.requires_grad_(True)
        return tensor

    def use(self, device: torch.device, low: torch.dtype | None = None) -> torch.Tensor:
        """`tensor` for a forward pass, if possible in `low`; `used` keeps it for the backward pass.

        By then the user may have looked at the data, after which `tensor` can be another one.
        """
        tensor = self.tensor(device)
        lowered = self._data.lowered(tensor, low) if low else None
        if lowered is not None:
            tensor = lowered.requires_grad_(tensor.requires_grad)
        self.used[tensor.dtype] = tensor
        return tensor

    def store(self, tensor: torch.Tensor) -> None:
        """Make a computed tensor this blob's data; its shape becomes the blob's."""
        shape = tuple(tensor.shape)
        if shape != self._shape:
            self._diff.resize(shape)
            self._shape = shape
        self._data.write(tensor)

    def diff_tensor(self, device: torch.device = _CPU) -> torch.Tensor:
        """diff as a tensor on `device`."""
        return self._diff.read(self._shape, device)

    def store_diff(self, tensor: torch.Tensor) -> None:
        """Make a computed gradient this blob's diff."""
        self._left_out = False
        self._diff.write(tensor)

    def defer_diff(self, compute: Callable[[], torch.Tensor]) -> None:
        """Let `compute` give the diff once somebody looks at it."""
        self._diff.defer(compute)

    def add_diff(self, tensor: torch.Tensor) -> None:
        """Accumulate a gradient, as Caffe's layers do for their parameters; of any type."""
        tensor = tensor.float()
        empty = self._diff.is_empty()
        self.store_diff(tensor if empty else self.diff_tensor(tensor.device) + tensor)

    def forget(self) -> None:
        """Give the data's memory back unless a view was handed out; `data` reads as zeros."""
        if self._data.host is None:
            self._data.tensor = None

    def forget_diff(self) -> None:
        """Give the diff's memory back unless a view is held; `diff` reads as zeros."""
        self._diff.forget()

    def detach(self) -> None:
        """Forget how the data was computed; the numbers stay."""
        if self._data.tensor is not None and not self.learned:
            self._data.tensor = self._data.tensor.detach()

    def clear_diff(self) -> None:
        """Set the gradient to zero."""
        self._diff.clear()

    def lodge(self, holder: torch.nn.Module, name: str) -> None:
        """Let the data be the holder's parameter of that name from now on."""
        self._data.lodge(holder, name)

    @property
    def lodged(self) -> bool:
        """Whether the data is a module's parameter."""
        return self._data.home is not None

    def share(self, other: "Blob") -> None:
        """Use the other blob's data and diff as one's own from now on."""
        self._shape, self._data, self._diff = other._shape, other._data, other._diff
        self.learned = other.learned


class ReshapedBlob(Blob):
    """The numbers of another blob in another shape of the same count (`share_mode: PERMISSIVE`)."""

    def __init__(self, owner: Blob, shape: Iterable[int]) -> None:
        super().__init__(shape)
        self._owner = owner.owner

    def prefer(self, layout: torch.memory_format) -> None:
        """Keep the data's tensor in this memory format while no numpy view of it is held."""
        self._data.layout = layout
        if self._data.tensor is not None:
            self._data.tensor = self._data.tensor.contiguous(memory_format=layout)

    @property
    def owner(self) -> Blob:
        return self._owner

    @property
    def data(self) -> np.ndarray:
        return self._owner.data.reshape(self._shape)

    @property
    def diff(self) -> np.ndarray:
        return self._owner.diff.reshape(self._shape)

    def tensor(self, device: torch.device = _CPU) -> torch.Tensor:
        return self._owner.tensor(device).reshape(self._shape)

    def use(self, device: torch.device, low: torch.dtype | None = None) -> torch.Tensor:
        return self._owner.use(device, low).reshape(self._shape)

    def diff_tensor(self, device: torch.device = _CPU) -> torch.Tensor:
        return self._owner.diff_tensor(device).reshape(self._shape)

    def store(self, tensor: torch.Tensor) -> None:
        self._owner.store(tensor.reshape(self._owner.shape))

    def store_diff(self, tensor: torch.Tensor) -> None:
        self._owner.store_diff(tensor.reshape(self._owner.shape))

    def clear_diff(self) -> None:
        self._owner.clear_diff()

    def share(self, other: Blob) -> None:
        """Nothing: the owner shares what is its own."""
