"""Which class computes which layer type: `@register("Pooling")` above the class is all it takes."""

import difflib
import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from typing import TypeVar

from caffe.errors import CaffeError
from caffe.layer import Layer

_TYPES: dict[str, type[Layer]] = {}
_LayerClass = TypeVar("_LayerClass", bound=type[Layer])
# Types of the forks that no class computes, and what to do in their place.
_ABSENT = {
    "DenseCRF": "remove it and refine the scores in a Python layer or behind net.forward(), for "
    "example with the package pydensecrf",
    "DomainTransform": "put a Python layer in its place, for example around OpenCV's "
    "cv2.ximgproc.dtFilter",
}


def register(type_name: str) -> Callable[[_LayerClass], _LayerClass]:
    """Make the decorated class the layer of `type: "<type_name>"`."""

    def add(cls: _LayerClass) -> _LayerClass:
        if type_name in _TYPES:
            raise ValueError(f"layer type {type_name!r} is registered twice")
        _TYPES[type_name] = cls
        cls.type = type_name
        return cls

    return add


@cache
def _load_layers() -> None:
    package = importlib.import_module("caffe.layers")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"caffe.layers.{module.name}")


def layer_class(type_name: str, layer_name: str) -> type[Layer]:
    """The class of a layer type.

    Raises CaffeError naming the layer, with the nearest known types, if no class has that type,
    or with what to do instead if Caffe has that type and this engine does not.
    """
    _load_layers()
    if type_name in _ABSENT:
        raise CaffeError(
            f'layer "{layer_name}" ({type_name}): this engine does not implement {type_name} '
            f"layers; {_ABSENT[type_name]}"
        )
    if type_name not in _TYPES:
        near = difflib.get_close_matches(type_name, _TYPES, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "see caffe.layer_type_list()"
        raise CaffeError(f'layer "{layer_name}": unknown layer type "{type_name}"; {hint}')
    return _TYPES[type_name]


def layer_type_list() -> list[str]:
    """All layer types this build knows, sorted (pycaffe's `caffe.layer_type_list()`)."""
    _load_layers()
    return sorted(_TYPES)
