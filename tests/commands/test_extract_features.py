"""extract_features: databases of what a net computes."""

import numpy as np
import pytest

import caffe
from caffe.commands import extract_features
from caffe.data.database import open_database
from caffe.proto import caffe_pb2
from tests.layer_checks import GOLDEN

NET = f"""
name: "features"
layer {{ name: "data" type: "Data" top: "data" top: "label"
  data_param {{ source: "{GOLDEN}/data/raw_lmdb" backend: LMDB batch_size: 2 }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 4 kernel_h: 5 kernel_w: 7 stride: 5
    weight_filler {{ type: "gaussian" std: 0.01 }} }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param {{ num_output: 3 weight_filler {{ type: "gaussian" std: 0.1 }} }} }}
"""


@pytest.fixture
def files(tmp_path) -> list[str]:
    """The weights and the net, as the command's first arguments."""
    net = tmp_path / "net.prototxt"
    net.write_text(NET)
    weights = tmp_path / "w.caffemodel"
    caffe.Net(str(net), caffe.TEST).save(str(weights))
    return [str(weights), str(net)]


@pytest.mark.parametrize("kind", ["lmdb", "leveldb"])
def test_each_item_becomes_a_datum(tmp_path, files, capsys, kind):
    args = ["conv,ip", f"{tmp_path}/a,{tmp_path}/b", "2", kind, "CPU"]
    assert extract_features.main([*files, *args]) == 0
    net = caffe.Net(files[1], files[0], caffe.TEST)
    batches = []
    for _ in range(2):
        outputs = net.forward(blobs=["conv", "ip"])
        batches.append({name: array.copy() for name, array in outputs.items()})
    for name, path, shape in (("conv", "a", (4, 4, 6)), ("ip", "b", (3, 1, 1))):
        rows = np.concatenate([batch[name].reshape(2, -1) for batch in batches])
        records = list(open_database(tmp_path / path, kind))
        assert [key for key, _ in records] == [b"%010d" % i for i in range(len(rows))]
        for (_, content), row in zip(records, rows, strict=True):
            datum = caffe_pb2.Datum.FromString(content)
            assert (datum.channels, datum.height, datum.width) == shape
            assert not datum.HasField("label")
            np.testing.assert_allclose(datum.float_data, row, rtol=1e-6)
    log = capsys.readouterr().err
    assert "Extracted features of 4 query images for feature blob conv\n" in log
    assert log.endswith("Successfully extracted the features!\n")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["fc7", "a", "2", "lmdb"], "Unknown feature blob name fc7 in the network NET; it has "),
        (["ip,conv", "a", "2", "lmdb"], "expected as many databases as blobs, got 1 and 2"),
        (["ip", "a", "0", "lmdb"], "num_mini_batches: expected at least 1, got 0"),
        (["ip", "a", "2", "hdf5"], "invalid choice: 'hdf5' (choose from 'lmdb', 'leveldb')"),
        (["ip,conv", "a,a/b", "2", "lmdb"], "a/b: cannot write: No such file or directory"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    tmp_path, files, monkeypatch, capsys, args, message
):
    monkeypatch.chdir(tmp_path)
    try:
        code = extract_features.main([*files, *args])
    except SystemExit as end:
        code = end.code
    assert code
    assert message.replace("NET", files[1]) in capsys.readouterr().err.splitlines()[-1]
    assert len(list(tmp_path.iterdir())) == 2
