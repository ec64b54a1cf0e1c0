"""The registry of layer types: known, unknown and absent ones."""

import pytest

import caffe
from caffe.proto import caffe_pb2
from caffe.registry import layer_class, register


def test_lists_types_and_finds_their_class():
    assert {"Convolution", "SPP", "LSTM", "BN"} <= set(caffe.layer_type_list())
    assert layer_class("SPP", "l").type == "SPP"


def test_offers_the_nearest_types_for_an_unknown_one():
    with pytest.raises(
        caffe.CaffeError, match=r'layer "c": unknown .* "Convolutoin"; .*Convolution'
    ):
        layer_class("Convolutoin", "c")
    with pytest.raises(caffe.CaffeError, match=r"see caffe.layer_type_list\(\)"):
        layer_class("!", "c")


@pytest.mark.parametrize(
    ("name", "remedy"), [("DenseCRF", "pydensecrf"), ("DomainTransform", "cv2.ximgproc.dtFilter")]
)
def test_says_what_to_do_instead_of_an_absent_type(name, remedy):
    assert name not in caffe.layer_type_list()
    net = caffe_pb2.NetParameter()
    net.layer.add(name="crf", type=name, top=["y"])
    message = rf'layer "crf" \({name}\): this engine does not implement {name}.*Python.*{remedy}'
    with pytest.raises(caffe.CaffeError, match=message):
        caffe.Net(net, caffe.TEST)


def test_a_type_has_one_class():
    with pytest.raises(ValueError, match="'SPP' is registered twice"):
        register("SPP")(layer_class("SPP", "l"))
