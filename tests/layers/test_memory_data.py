"""MemoryData: batches round and round from the user's own arrays; errors."""

import logging

import numpy as np
import pytest

import caffe
from tests.layer_checks import net_from_text

TEXT = (
    'layer{name:"m" type:"MemoryData" top:"x" top:"y" %s'
    "memory_data_param{batch_size:2 channels:3 height:7 width:5}}"
    'layer{name:"p" type:"Power" bottom:"x" top:"z" power_param{scale:10}}'
)
DATA = np.arange(4 * 3 * 7 * 5, dtype=np.float32).reshape(4, 3, 7, 5)
LABELS = np.array([3, 1, 4, 1], np.float32)


@pytest.fixture
def make(tmp_path):
    """make(text): a net and its MemoryData layer."""

    def make_net(text=TEXT % ""):
        net = net_from_text(tmp_path, text)
        return net, net._layers[0]

    return make_net


@pytest.mark.parametrize("labels", [LABELS, LABELS.reshape(4, 1, 1, 1), np.repeat(LABELS, 2)[::2]])
def test_goes_through_the_arrays_over_and_over(make, labels):
    net, layer = make()
    assert [net.blobs[name].shape for name in "xy"] == [(2, 3, 7, 5), (2,)]
    layer.reset(DATA, labels)
    for first in (0, 2, 0, 2):
        net.forward()
        np.testing.assert_array_equal(net.blobs["z"].data, 10 * DATA[first : first + 2])
        np.testing.assert_array_equal(net.blobs["y"].data, LABELS[first : first + 2])


def test_new_arrays_start_from_their_first_item(make):
    net, layer = make()
    layer.reset(DATA, LABELS)
    net.forward()
    layer.reset(DATA[2:], LABELS[2:])
    for _ in range(2):
        net.forward()
        np.testing.assert_array_equal(net.blobs["x"].data, DATA[2:])


def test_reads_what_the_user_writes_and_writes_nothing_back(make):
    net, layer = make()
    data = DATA.copy()
    layer.reset(data, LABELS)
    net.forward()
    net.blobs["x"].data[...] = -1
    net.forward()
    np.testing.assert_array_equal(data, DATA)
    data[0] = 7
    net.forward()
    np.testing.assert_array_equal(net.blobs["x"].data[0], np.full((3, 7, 5), 7))


def test_logs_that_arrays_are_not_transformed(make, caplog):
    net, layer = make(TEXT % "transform_param{scale:2}")
    with caplog.at_level(logging.WARNING, "caffe"):
        layer.reset(DATA, LABELS)
    assert [record.getMessage() for record in caplog.records] == [
        'layer "m": MemoryData does not transform arrays'
    ]
    net.forward()
    np.testing.assert_array_equal(net.blobs["x"].data, DATA[:2])


@pytest.mark.parametrize(
    ("data", "labels", "message"),
    [
        (DATA.astype(np.float64), LABELS, "data array: .*, got float64; use np.ascontiguousarray"),
        (DATA, LABELS.astype(int), r"labels array: expected C-contiguous float32.*, got int64"),
        (DATA[:, :, :, ::-1], LABELS, "got float32 that is not C-contiguous"),
        (DATA[0], LABELS, r"shape \('n', 3, 7, 5\), got \(3, 7, 5\)"),
        (DATA.reshape(4, 3, 5, 7), LABELS, r"got \(4, 3, 5, 7\)"),
        (DATA, LABELS[:, None], r"shape \('n', 1, 1, 1\), got \(4, 1\)"),
        (DATA, LABELS[:2], "must have the same first dimension, got 4 and 2"),
        (DATA[:3], LABELS[:3], "must be a multiple of batch size, 2, got 3"),
        (DATA[:0], LABELS[:0], "must be a multiple of batch size, 2, got 0"),
        (DATA, [1, 2, 3, 4], "must be numpy arrays, got list"),
    ],
)
def test_names_arrays_that_do_not_fit(make, data, labels, message):
    _, layer = make()
    with pytest.raises(caffe.CaffeError, match=rf'layer "m" \(MemoryData\): .*{message}'):
        layer.reset(data, labels)


def test_needs_data_and_all_sizes(make):
    net, _ = make()
    with pytest.raises(caffe.CaffeError, match=r'"m".*has no data; call net.set_input_arrays'):
        net.forward()
    with pytest.raises(caffe.CaffeError, match=r'"m".*positive in .*, got \(2, 3, 7, 0\)'):
        make((TEXT % "").replace("width:5", ""))
