"""Python: a layer written by the user."""

import importlib

import torch

from caffe.blob import Blob
from caffe.layer import Layer, Shape
from caffe.python_layer import PythonFunction, PythonLayer
from caffe.registry import register


@register("Python")
class Python(Layer):
    """Runs `python_param.layer` of the module `python_param.module`, a `caffe.Layer`.

    bottoms, tops: any number. The tops' shapes may change with each forward; a top with the name of
    a bottom is the same Blob.
    Source: Caffe's PythonLayer. Raises CaffeError if module or class cannot be found, and whatever
    the user's own code raises.
    """

    bottoms = (0, None)
    tops = (0, None)
    passes = (Exception,)
    repeatable = False

    def _class(self) -> type[PythonLayer]:
        param = self.layer_param.python_param
        try:
            module = importlib.import_module(param.module)
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if param.module != missing and not param.module.startswith(missing + "."):
                raise
            self.fail(f'no module "{param.module}"; put its folder on PYTHONPATH')
        found = getattr(module, param.layer, None)
        if not (isinstance(found, type) and issubclass(found, PythonLayer)):
            self.fail(f'module "{param.module}" has no caffe.Layer "{param.layer}"')
        return found

    def setup(self, *bottom_shapes: Shape) -> None:
        cls = self._class()
        self.user = cls.__new__(cls)
        PythonLayer.__init__(self.user)  # users' __init__ never calls ours
        if cls.__init__ is not PythonLayer.__init__:
            cls.__init__(self.user)
        self.user.param_str = self.layer_param.python_param.param_str
        self.user.phase, self.user.name = self.phase, self.name
        self._bottom = [Blob(shape) for shape in bottom_shapes]
        in_place = dict(zip(self.layer_param.bottom, self._bottom, strict=True))
        self._top = [in_place.get(name) or Blob() for name in self.layer_param.top]
        self.user.setup(self._bottom, self._top)
        self.blobs = self.user.blobs

    def top_shapes(self, *bottom_shapes: Shape) -> list[Shape]:
        for blob, shape in zip(self._bottom, bottom_shapes, strict=True):
            blob.reshape(*shape)
        self.user.reshape(self._bottom, self._top)
        return [blob.shape for blob in self._top]

    def forward(self, *bottoms: torch.Tensor) -> tuple[torch.Tensor, ...]:
        wants = [bottom.requires_grad for bottom in bottoms]
        return PythonFunction.apply(
            self.user, self._bottom, self._top, wants, *bottoms, *self.weights
        )
