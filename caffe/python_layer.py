"""`caffe.Layer`: layers that users write with numpy, run by `type: "Python"`.

The user's class sees Blobs, exactly as in pycaffe: `setup(bottom, top)`, `reshape(bottom, top)`,
`forward(bottom, top)`, `backward(top, propagate_down, bottom)`, `self.param_str`, `self.phase`,
`self.blobs`. An exception inside them reaches the caller unchanged.
"""

from collections.abc import Sequence

import torch

from caffe.blob import Blob


class BlobVec(list[Blob]):
    """A layer's parameters; `add_blob(*shape)` appends one that holds zeros."""

    def add_blob(self, *shape: int) -> None:
        self.append(Blob(shape, learned=True))


class PythonLayer:
    """Base class of Python layers; pycaffe calls it `caffe.Layer`."""

    def __init__(self) -> None:
        self.param_str = ""
        self.phase = 0
        self.type = "Python"
        self.name = ""
        self.blobs = BlobVec()

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read `self.param_str`, check the bottoms; called once."""

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Set the tops' shapes; called before each forward."""

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Fill `top[i].data` from `bottom[i].data`."""

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Fill `bottom[i].diff` from `top[i].diff` where `propagate_down[i]`."""


def _adopt(blob: Blob, tensor: torch.Tensor) -> None:
    blob.store(tensor.detach().to("cpu", torch.float32))


class PythonFunction(torch.autograd.Function):
    """Runs a PythonLayer's forward and backward inside autograd.

    Inputs: the layer, its Blobs, which bottoms want a gradient, then bottoms and parameters. A Blob
    that is bottom and top is changed in place: in `backward` its data is what `forward` left, and
    its diff the top's until the layer changes it.
    """

    @staticmethod
    def forward(ctx, layer, bottom, top, wants, *tensors):
        ctx.layer, ctx.bottom, ctx.top, ctx.wants = layer, bottom, top, wants
        ctx.save_for_backward(*tensors)
        for blob, tensor in zip(bottom, tensors, strict=False):
            _adopt(blob, tensor.clone() if blob in top else tensor)
        layer.reshape(bottom, top)
        layer.forward(bottom, top)
        if not tensors:  # a data layer: nothing is behind its tops, which stay in its memory
            return tuple(torch.from_numpy(blob.data) for blob in top)
        # The Blobs keep their memory for the next pass, so what leaves them is a copy.
        return tuple(torch.from_numpy(blob.data.copy()).to(tensors[0]) for blob in top)

    @staticmethod
    def backward(ctx, *top_diffs):
        layer, bottom, top = ctx.layer, ctx.bottom, ctx.top
        tensors = ctx.saved_tensors
        for blob, tensor in zip(bottom, tensors, strict=False):
            if blob not in top:
                _adopt(blob, tensor)
        earlier = [blob.diff.copy() for blob in layer.blobs]
        for blob in [*bottom, *layer.blobs]:
            blob.diff.fill(0)
        for blob, diff in zip(top, top_diffs, strict=True):
            blob.diff[...] = diff.detach().cpu().numpy()
        layer.backward(top, ctx.wants, bottom)
        diffs = [torch.from_numpy(blob.diff.copy()) for blob in [*bottom, *layer.blobs]]
        grads = [
            diff.to(tensor) if wanted else None
            for diff, tensor, wanted in zip(diffs, tensors, ctx.needs_input_grad[4:], strict=True)
        ]
        for blob, diff in zip(layer.blobs, earlier, strict=True):
            blob.diff[...] = diff  # the net adds what autograd returns
        return (None, None, None, None, *grads)
