"""Fields of a net that no layer here reads: those that change no result, and those to refuse.

Every field of caffe.proto's layer messages is read by the engine's source or is in one of these
tables; tests/test_fields.py reads the source to prove it, so a new field cannot be forgotten. A
block of another layer type (relu_param in a Convolution) is passed over, as Caffe does.
"""

from functools import reduce
from typing import NamedTuple

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

_ENGINE = "chooses between implementations of one formula; PyTorch makes that choice"
_ABSENT = "its layer type is refused by name, see caffe/registry.py"

# "Message.field", or "Message" for all of its fields: why the result is the same whatever it says.
HARMLESS = {
    "BNParameter.engine": _ENGINE,
    "ConvolutionParameter.engine": _ENGINE,
    "ConvolutionParameter.force_nd_im2col": _ENGINE,
    "DenseCRFParameter": _ABSENT,
    "DomainTransformParameter": _ABSENT,
    "EltwiseParameter.stable_prod_grad": "the gradient of PROD is always the stable one",
    "LRNParameter.engine": _ENGINE,
    "PoolingParameter.engine": _ENGINE,
    "PythonParameter.share_in_parallel": "each process of a training has its own Python layers",
    "ReLUParameter.engine": _ENGINE,
    "SPPParameter.engine": _ENGINE,
    "SigmoidParameter.engine": _ENGINE,
    "SoftmaxParameter.engine": _ENGINE,
    "TanHParameter.engine": _ENGINE,
}


class Refused(NamedTuple):
    """A field that may only have its default value."""

    layer_type: str
    path: str  # from LayerParameter on
    remedy: str


_ROI = "the released nets leave it out; so must this one"
REFUSED = (
    Refused("ROIPooling", "roi_pooling_param.top_cls", _ROI),
    Refused("ROIPooling", "roi_pooling_param.norm_type", _ROI),
    Refused("ROIPooling", "roi_pooling_param.single_scale", _ROI),
    Refused("ROIPooling", "roi_pooling_param.origin_scale", _ROI),
)


def check_fields(layer: caffe_pb2.LayerParameter) -> None:
    """Raise CaffeError naming layer, field, value and remedy if a refused field is set."""
    for refused in REFUSED:
        if refused.layer_type != layer.type:
            continue
        *blocks, field = refused.path.split(".")
        message = reduce(getattr, blocks, layer)
        value = getattr(message, field)
        if value != getattr(type(message)(), field):
            raise CaffeError(
                f'layer "{layer.name}" ({layer.type}): {refused.path}: this engine would not act '
                f"on it, got {value}; {refused.remedy}"
            )
