"""`caffe.Module`: a net as a torch.nn.Module."""

import os

import torch

from caffe.blob import Blob
from caffe.errors import CaffeError
from caffe.net import Net
from caffe.proto import caffe_pb2


class _Parameters(torch.nn.Module):
    """A layer's parameters, in print under the layer's type."""

    def __init__(self, layer_type: str) -> None:
        super().__init__()
        self.layer_type = layer_type

    def _get_name(self) -> str:
        return self.layer_type


class Module(torch.nn.Module):
    """The outputs of a net as a function of its inputs; autograd does the rest.

    model: a prototxt's path, a NetParameter or a `caffe.Net`, which then is this module's `net` as
    it is. weights: a .caffemodel, .h5 or .safetensors file. phase: caffe.TEST or caffe.TRAIN.

    `module(x)` takes a tensor for each input blob, in the order of `module.net.inputs` or by name,
    of any batch size that the layers allow, and returns the output blob, or {name: tensor} if the
    net has not one but several. Losses among them are not yet multiplied with their loss_weight.
    The blobs of `module.net` keep what they held.

    Parameters are called "<layer>.<number of the blob>", as the tensors of a .safetensors file.
    They are one memory with `module.net.params`: whatever changes one changes the other. After
    `.to("cuda")` the numpy views are copies that cannot be written. Blobs with lr_mult 0 and
    running statistics have `requires_grad` off.

    `train()` and `eval()` set the phase of the layers, but for those that the net gives one of
    their own; include and exclude rules, and data layers, stay as in the phase given here.
    Raises CaffeError for what `caffe.Net` refuses, and for inputs that do not fit.
    """

    def __init__(
        self,
        model: str | os.PathLike | caffe_pb2.NetParameter | Net,
        weights: str | os.PathLike | None = None,
        phase: "caffe_pb2.Phase" = caffe_pb2.TEST,
    ) -> None:
        super().__init__()
        if isinstance(model, Net):
            self.net = model
            if weights is not None:
                model.copy_from(weights)
        else:
            self.net = Net(model, phase, weights=weights)
        self.training = self.net.phase == caffe_pb2.TRAIN
        registered: dict[int, torch.nn.Parameter] = {}
        for key, layer in self.net.named_layers():
            for i, blob in enumerate(layer.blobs):
                if blob.owner is blob:  # no view in another shape
                    self._register(f"{key}.{i}", layer.type, blob, registered)

    def _register(
        self, name: str, kind: str, blob: Blob, registered: dict[int, torch.nn.Parameter]
    ) -> None:
        *path, leaf = name.split(".")
        holder: torch.nn.Module = self
        try:
            for part in path:
                if part not in holder._modules:
                    holder.add_module(part, _Parameters(kind))
                holder = holder.get_submodule(part)
            parameter = registered.get(id(blob))
            if parameter is None:
                parameter = registered[id(blob)] = _parameter(blob)
                blob.lodge(holder, leaf)
            holder.register_parameter(leaf, parameter)
        except KeyError as error:
            raise CaffeError(
                f'layer "{name.rpartition(".")[0]}": a torch.nn.Module cannot have parameters '
                f"called so ({error.args[0]}); rename the layer"
            ) from None

    def train(self, mode: bool = True) -> "Module":
        """Let the layers compute as in caffe.TRAIN, or with `mode` False as in caffe.TEST."""
        self.net.switch_phase(caffe_pb2.TRAIN if mode else caffe_pb2.TEST)
        return super().train(mode)

    def forward(
        self, *inputs: torch.Tensor, **named: torch.Tensor
    ) -> torch.Tensor | dict[str, torch.Tensor]:
        """The output blob, or all of them by name, for tensors of all input blobs."""
        names = self.net.inputs
        given = dict(zip(names, inputs, strict=False))
        if len(inputs) > len(names) or given.keys() & named or {*given, *named} != {*names}:
            got = [*["a tensor"] * len(inputs), *named]
            raise CaffeError(
                f'net "{self.net.name}": expected one tensor for each of the inputs '
                f"{', '.join(names) or '(none)'}; got {', '.join(got) or 'none'}"
            )
        devices = (tensor.device for tensor in [*self.parameters(), *inputs, *named.values()])
        device = next(devices, torch.device("cpu"))
        tops = self.net.compute({**given, **named}, device)
        outputs = {name: tops[name] for name in self.net.outputs}
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs


def _parameter(blob: Blob) -> torch.nn.Parameter:
    """The blob's numbers, where they are; another module's parameter if it has them already."""
    tensor = blob.tensor()
    if isinstance(tensor, torch.nn.Parameter):
        return tensor
    return torch.nn.Parameter(tensor.detach().contiguous(), requires_grad=blob.learned)
