"""A net as TorchScript: what PyTorch's tracer records of `caffe.Module`."""

import io
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch

from caffe.errors import CaffeError
from caffe.export.verify import check_outputs
from caffe.module import Module
from caffe.net import Net

_NATIVE = "it computes with a native operator, which PyTorch alone does not have"
_CODE = "it looks at its bottoms' numbers in Python, of which a trace would keep one case"
# What a tracer would record wrongly, or crash on.
_REFUSED = {
    "AdaptiveBiasChannel": _CODE,
    "FeatureL2Loss": _NATIVE,
    "Python": "it runs Python code of the user's",
    "PredictionL2Loss": _NATIVE,
    "ROIPooling": _NATIVE,
    "ROISpatialPyramidPooling": _NATIVE,
    "ScoreWeightedConcat": _NATIVE,
    "SegAccuracy": _CODE,
    "UniqueLabel": _CODE,
}
_DATA = "it reads or writes data; export a deploy net, whose inputs are Input layers"
_SHOWN = 200  # characters of what PyTorch's tracer says
_FINE = ("Input", "Parameter", "Silence")  # of the layers without bottoms or without tops
_DESCRIPTION = "caffe.json"  # in the file: {"name": the net's, "inputs": ..., "outputs": its blobs}


def script(net: Net, inputs: Mapping[str, np.ndarray]) -> bytes:
    """The net as a file that `torch.jit.load` reads, traced with these inputs.

    Its forward takes the input blobs in order and returns what `caffe.Module` does.
    Raises CaffeError naming the layer that cannot be traced.
    """
    check_outputs(net)
    for layer in net._layers:
        one_sided = not layer.layer_param.bottom or not layer.layer_param.top
        if layer.type in _REFUSED or (one_sided and layer.type not in _FINE):
            layer.fail(f"cannot go to TorchScript: {_REFUSED.get(layer.type, _DATA)}")
    tensors = tuple(torch.from_numpy(inputs[name]) for name in net.inputs)
    about = {"name": net.name, "inputs": net.inputs, "outputs": net.outputs}
    file = io.BytesIO()
    with _quietly():
        try:
            traced = torch.jit.trace(Module(net), tensors, check_trace=False, strict=False)
            torch.jit.save(traced, file, _extra_files={_DESCRIPTION: json.dumps(about)})
        except CaffeError:
            raise
        except RuntimeError as error:
            text = " ".join(str(error).split())[:_SHOWN]
            raise CaffeError(f'net "{net.name}": PyTorch cannot trace it: {text}') from None
    return file.getvalue()


def run(content: bytes, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs by name that PyTorch alone computes."""
    extra = {_DESCRIPTION: ""}
    with _quietly():
        module = torch.jit.load(io.BytesIO(content), _extra_files=extra)
        about = json.loads(extra[_DESCRIPTION])
        got = module(*(torch.from_numpy(inputs[name]) for name in about["inputs"]))
    outputs = got if isinstance(got, dict) else {about["outputs"][0]: got}
    return {name: tensor.detach().numpy() for name, tensor in outputs.items()}


@contextmanager
def _quietly() -> Iterator[None]:
    """Without gradients, and without warnings of shapes that become fixed, which is the point, and
    of torch.export, whose files need the PyTorch that wrote them.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        yield
