"""net_spec: the messages that it makes, the names it gives, its errors."""

import pytest
from google.protobuf import text_format

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.net_spec import assign_proto, param_name_dict
from caffe.proto import caffe_pb2


def net(text):
    return text_format.Parse(text, caffe_pb2.NetParameter())


def test_fields_go_to_the_type_s_own_message_and_the_rest_to_the_layer():
    n = caffe.NetSpec()
    n.data, n.label = L.Data(ntop=2, source="set", batch_size=3, backend=P.Data.LMDB)
    n.conv1 = L.Convolution(
        n.data,
        num_output=5,
        kernel_size=[3, 7],
        pad=1,
        weight_filler={"type": "xavier", "variance_norm": "AVERAGE"},
        param=[{"lr_mult": 1}, {"lr_mult": 2, "decay_mult": 0}],
        phase=caffe.TEST,
    )
    n.loss = L.SoftmaxWithLoss(
        n.conv1, n.label, loss_weight=2, loss_param={"ignore_label": 255}, include={"phase": 0}
    )
    assert n.to_proto() == net("""
        layer { name: "data" type: "Data" top: "data" top: "label"
                data_param { source: "set" batch_size: 3 backend: LMDB } }
        layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" phase: TEST
                param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
                convolution_param { num_output: 5 kernel_size: 3 kernel_size: 7 pad: 1
                  weight_filler { type: "xavier" variance_norm: AVERAGE } } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "conv1" bottom: "label" top: "loss"
                loss_weight: 2 include { phase: TRAIN } loss_param { ignore_label: 255 } }
    """)


def test_a_type_without_a_message_of_its_own_takes_one_by_name():
    n = caffe.NetSpec()
    n.data = L.Input(shape=[{"dim": [2, 3, 5, 7]}])
    n.up = L.Deconvolution(n.data, convolution_param={"num_output": 4, "kernel_size": 2})
    deconvolution = n.to_proto().layer[1]
    assert deconvolution.type == "Deconvolution"
    assert list(deconvolution.convolution_param.kernel_size) == [2]


def test_in_place_layers_keep_the_blob_and_are_read_in_order():
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [2, 3]})
    n.fc = L.InnerProduct(n.data, num_output=5)
    n.relu = L.ReLU(n.fc, in_place=True)
    n.fc2 = L.InnerProduct(n.relu, num_output=4)
    wired = [(la.name, list(la.bottom), list(la.top)) for la in n.to_proto().layer]
    assert wired[2:] == [("relu", ["fc"], ["fc"]), ("fc2", ["fc"], ["fc2"])]


def test_unnamed_tops_get_the_type_and_a_number():
    data = L.Input(shape={"dim": [2, 3]})
    top = L.ReLU(L.InnerProduct(L.InnerProduct(data, num_output=5), num_output=4))
    names = [layer.name for layer in caffe.to_proto(top).layer]
    assert names == ["Input1", "InnerProduct1", "InnerProduct2", "ReLU1"]
    assert top.to_proto() == caffe.to_proto(top)


def test_a_layer_read_twice_is_written_once_and_before_its_readers():
    n = caffe.NetSpec()
    data = L.Input(shape={"dim": [2, 3]})
    n.left, n.right = L.ReLU(data), L.Sigmoid(data)
    n.both = L.Eltwise(n.right, n.left, operation=P.Eltwise.PROD)
    layers = n.to_proto().layer
    assert [layer.name for layer in layers] == ["Input1", "left", "right", "both"]
    assert list(layers[3].bottom) == ["right", "left"]
    assert layers[3].eltwise_param.operation == caffe_pb2.EltwiseParameter.PROD


def test_names_keys_deletion_and_layers_without_tops():
    n = caffe.NetSpec()
    n["a/b"], n.label = L.Python(ntop=2, name="reader", module="m", layer="Reader", param_str="{}")
    n.silence = L.Silence(n.label, ntop=0)
    n.gone = L.ReLU(n["a/b"])
    del n.gone
    assert list(n.tops) == ["a/b", "label", "silence"]
    reader, silence = n.to_proto().layer
    assert (reader.name, list(reader.top)) == ("reader", ["a/b", "label"])
    assert (silence.name, list(silence.bottom), list(silence.top)) == ("silence", ["label"], [])
    with pytest.raises(AttributeError, match='no top "gone"'):
        _ = n.gone


def test_an_empty_dict_makes_a_message_present():
    layer = caffe.to_proto(L.Parameter(parameter_param={"shape": {}})).layer[0]
    assert layer.parameter_param.HasField("shape")


def test_the_text_builds_a_net(tmp_path):
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [2, 3]})
    n.fc = L.InnerProduct(n.data, num_output=5, weight_filler={"type": "constant", "value": 0.5})
    path = tmp_path / "net.prototxt"
    path.write_text(str(n.to_proto()), encoding="utf-8")
    built = caffe.Net(str(path), caffe.TEST)
    built.blobs["data"].data[...] = [[1, 2, 4], [0, 0, -2]]
    assert built.forward()["fc"].tolist() == [[3.5] * 5, [-1.0] * 5]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kernel_sise": 3}, r'L.Convolution: .*no field "kernel_sise"'),
        ({"weight_filler": {"typ": "xavier"}}, r'FillerParameter has no field "typ"; .*"type"'),
        ({"weight_filler": "xavier"}, r"field weight_filler cannot be 'xavier'"),
        ({"num_output": "many"}, r"field num_output cannot be 'many'"),
        ({"convolution_param": {"engine": "CUDA"}}, r"field engine cannot be 'CUDA'"),
        ({"in_place": True, "ntop": 2}, r"in_place needs as many tops as bottoms, got 2 and 1"),
    ],
)
def test_mistakes_are_named_where_the_layer_is_made(fields, message):
    data = L.Input(shape={"dim": [2, 3]})
    with pytest.raises(caffe.CaffeError, match=message):
        L.Convolution(data, **fields)


@pytest.mark.parametrize("error", [caffe.CaffeError, TypeError])
def test_bottoms_must_be_tops(error):
    pair = L.DummyData(ntop=2, shape={"dim": 3})
    with pytest.raises(error, match=r"^ReLU input 0 is not a Top \(type is <class 'tuple'>\)"):
        L.ReLU(pair)
    with pytest.raises(error, match=r"^Concat input 1 is not a Top \(type is <class 'str'>\)"):
        L.Concat(pair[0], "data")


def test_keywords_may_change_until_the_net_is_written():
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [2, 3]})
    n.fc = L.InnerProduct(n.data, num_output=5)
    assert n.fc.fn.params == {"num_output": 5}
    n.fc.fn.params.update(num_output=4, name="wide")
    assert n.to_proto().layer[1].inner_product_param.num_output == 4
    assert n.to_proto().layer[1].name == "wide"


def test_a_layer_may_change_several_blobs_in_place():
    n = caffe.NetSpec()
    n.a, n.b = L.DummyData(ntop=2, shape={"dim": [2, 3]})
    n.c, n.d = L.Python(n.a, n.b, ntop=2, in_place=True, module="m", layer="Swap")
    swap = n.to_proto().layer[1]
    assert (list(swap.bottom), list(swap.top)) == (["a", "b"], ["a", "b"])


def test_param_name_dict_and_assign_proto():
    names = param_name_dict()
    assert names["InnerProduct"] == "inner_product"
    assert "convolution" in names.values()
    assert list(names) == sorted(names)
    layer = caffe_pb2.LayerParameter()
    assign_proto(layer, "param", [{"lr_mult": 3}, {"lr_mult": 0}])
    assign_proto(layer, "include", {"phase": "TEST", "stage": ["a", "b"]})
    assign_proto(layer, "loss_weight", 2)
    assert [spec.lr_mult for spec in layer.param] == [3, 0]
    assert (layer.include[0].phase, list(layer.include[0].stage)) == (caffe.TEST, ["a", "b"])
    assert list(layer.loss_weight) == [2]
    with pytest.raises(caffe.CaffeError, match=r'assign_proto: .* no field "tpo"; did you mean'):
        assign_proto(layer, "tpo", "x")


def test_the_package_of_layers_is_still_a_package():
    assert "ReLU" in caffe.layer_type_list()
    from caffe.layers import relu

    assert relu.ReLU.type == "ReLU"
    assert caffe.layers.ReLU is not relu.ReLU
    with pytest.raises(AttributeError):
        _ = caffe.layers.no_type
