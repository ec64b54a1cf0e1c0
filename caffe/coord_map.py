"""Which pixel of one top lies over which pixel of another: pycaffe's `coord_map`, for FCN's crops.

    n.score = crop(n.upscore, n.data)

A coordinate map is (axis, scale, shift): the centre of pixel i lies at scale * i + shift in the
coordinates that it maps to. Scale and shift are numbers, or arrays with one for each spatial axis;
`axis` is the one in front of those, 1 for (N, C, H, W), or None if the map is the same for any.
Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from caffe.errors import CaffeError
from caffe.net_spec import Function, Top, layers

CoordMap = tuple[int | None, Any, Any]

_IDENTITY: CoordMap = (None, 1, 0)
PASS_THROUGH_LAYERS = [
    "AbsVal",
    "AdaptiveBiasChannel",
    "BN",
    "BNLL",
    "BatchNorm",
    "Bias",
    "BiasChannel",
    "Clip",
    "Dropout",
    "ELU",
    "Eltwise",
    "Exp",
    "LRN",
    "Log",
    "MVN",
    "Normalization",
    "PReLU",
    "Power",
    "ReLU",
    "Scale",
    "Sigmoid",
    "Split",
    "Swish",
    "TanH",
    "Threshold",
]
_LEGACY = {f"{stem}_{axis}" for stem in ("kernel", "pad", "stride") for axis in "hw"}


class UndefinedMapException(CaffeError):  # noqa: N818 - pycaffe's name
    """A layer that mixes positions, so that none of its output belongs to one of its input."""


class AxisMismatchException(CaffeError):  # noqa: N818 - pycaffe's name
    """Maps whose coordinates begin at different axes."""


class CropError(CaffeError, AssertionError):
    """Tops that no Crop layer can align; pycaffe asserts it, so scripts may catch that."""


def _params(fn: Function, *messages: str) -> Any:
    """The layer's own parameters, given as keywords or as a dict for its message."""
    return next((fn.params[name] for name in messages if name in fn.params), fn.params)


def conv_params(fn: Function) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """(axis, stride, kernel size, pad) of a layer with a sliding window, one for each axis or all.

    The kernel size includes dilation. Raises CaffeError for kernel_h, kernel_w and the like, and
    UndefinedMapException if there is no kernel size (global pooling).
    """
    params = _params(fn, "convolution_param", "pooling_param")
    legacy = sorted(_LEGACY.intersection(params))
    if legacy:
        raise CropError(
            f"L.{fn.type_name}: no coordinate map with {', '.join(legacy)}; give kernel_size, "
            "stride and pad as lists instead"
        )
    if "kernel_size" not in params:
        raise UndefinedMapException(f"L.{fn.type_name}: no coordinate map without kernel_size")
    size, dilation, stride, pad = (
        np.array(params.get(name, default), ndmin=1)
        for name, default in (("kernel_size", 0), ("dilation", 1), ("stride", 1), ("pad", 0))
    )
    return params.get("axis", 1), stride, (size - 1) * dilation + 1, pad


def crop_params(fn: Function) -> tuple[int, np.ndarray]:
    """(axis, offset) of a Crop layer: its first cropped axis, one offset for each or for all."""
    params = _params(fn, "crop_param")
    return params.get("axis", 2), np.array(params.get("offset", 0), ndmin=1)


def coord_map(fn: Function) -> CoordMap:
    """The layer's map, from pixels of its bottom to those of its top.

    Convolution, Pooling, Im2col: 1 / stride and (pad - (k - 1) / 2) / stride; Deconvolution:
    stride and (k - 1) / 2 - pad; Crop: 1 and -offset; what maps each number by itself: 1 and 0.
    Raises UndefinedMapException for any other layer.
    """
    if fn.type_name in ("Convolution", "Pooling", "Im2col"):
        axis, stride, size, pad = conv_params(fn)
        return axis, 1 / stride, (pad - (size - 1) / 2) / stride
    if fn.type_name == "Deconvolution":
        axis, stride, size, pad = conv_params(fn)
        return axis, stride, (size - 1) / 2 - pad
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return axis - 1, 1, -offset
    if fn.type_name in PASS_THROUGH_LAYERS:
        return _IDENTITY
    raise UndefinedMapException(f"L.{fn.type_name}: no coordinate map for layers of this type")


def compose(base_map: CoordMap, next_map: CoordMap) -> CoordMap:
    """`next_map` and then `base_map`: scale a1 a2, shift a1 b2 + b1.

    Raises AxisMismatchException if both name an axis and not the same one.
    """
    axis1, scale1, shift1 = base_map
    axis2, scale2, shift2 = next_map
    if None not in (axis1, axis2) and axis1 != axis2:
        raise AxisMismatchException(
            f"expected coordinates from the same axis on, got axis {axis1} and axis {axis2}"
        )
    axis = axis2 if axis1 is None else axis1
    return axis, scale1 * scale2, scale1 * shift2 + shift1


def inverse(coord_map: CoordMap) -> CoordMap:
    """The map back: scale 1 / a and shift -b / a."""
    axis, scale, shift = coord_map
    return axis, 1 / scale, -shift / scale


def _ancestors(top: Top) -> Iterator[tuple[Top, CoordMap]]:
    """`top` and what it is computed from through layers with a map, with the map back to `top`."""
    maps = {top: _IDENTITY}
    frontier = [top]
    for made in frontier:
        yield made, maps[made]
        # A Crop layer reads its second bottom for the size alone.
        bottoms = made.fn.inputs[:1] if made.fn.type_name == "Crop" else made.fn.inputs
        with suppress(UndefinedMapException):
            for bottom in bottoms:
                if bottom not in maps:
                    maps[bottom] = compose(maps[made], coord_map(made.fn))
                    frontier.append(bottom)


def coord_map_from_to(top_from: Top, top_to: Top) -> CoordMap:
    """The map from pixels of `top_from` to those of `top_to`, through what both are computed from.

    Raises CaffeError, a RuntimeError, if no layers with coordinate maps connect them.
    """
    from_maps = dict(_ancestors(top_from))
    for top, to_map in _ancestors(top_to):
        if top in from_maps:
            return compose(to_map, inverse(from_maps[top]))
    raise CaffeError(
        f"no coordinate map from L.{top_from.fn.type_name} to L.{top_to.fn.type_name}: expected "
        "tops that layers such as Convolution and Pooling connect"
    )


def crop(top_from: Top, top_to: Top) -> Top:
    """A Crop layer that cuts `top_from` to the pixels over those of `top_to`.

    Raises CropError, an AssertionError, unless both have the same scale and the first pixel of
    `top_to` lies under one of `top_from`.
    """
    axis, scale, shift = coord_map_from_to(top_from, top_to)
    offset = -np.atleast_1d(shift)
    problem = (
        (not np.all(scale == 1) and f"expected tops of the same scale, got {scale} between them")
        or (np.any(offset < 0) and f"expected an offset of at least 0, got {offset}")
        or (np.any(offset != np.round(offset)) and f"expected a whole offset, got {offset}")
    )
    if problem:
        made = f"L.{top_from.fn.type_name} to L.{top_to.fn.type_name}"
        raise CropError(f"cannot crop {made}: {problem}")
    first = 2 if axis is None else axis + 1
    return layers.Crop(
        top_from, top_to, crop_param={"axis": first, "offset": offset.astype(int).tolist()}
    )
