"""upgrade_net_proto_binary: old weights files in the current form, every blob kept."""

import numpy as np
import pytest

import caffe
from caffe.commands import upgrade_net_proto_binary
from caffe.proto import caffe_pb2
from tests.layer_checks import net_from_text
from tests.old_nets import CURRENT, V0, V1, small_arrays, with_blobs


def upgrade(tmp_path, content):
    old, new = tmp_path / "old.caffemodel", tmp_path / "new.caffemodel"
    old.write_bytes(content)
    return upgrade_net_proto_binary.main([str(old), str(new)]), new


@pytest.mark.parametrize("text", [V0, V1, CURRENT])
def test_layers_and_blobs_are_the_current_nets(tmp_path, capfd, text):
    code, new = upgrade(tmp_path, with_blobs(text, small_arrays(3)).SerializeToString())
    assert code == 0
    assert caffe_pb2.NetParameter.FromString(new.read_bytes()) == with_blobs(
        CURRENT, small_arrays(3)
    )
    log = capfd.readouterr().err
    assert f"Wrote upgraded NetParameter binary proto to {new}" in log
    assert ("File already in latest proto format" in log) == (text is CURRENT)


def test_the_written_file_loads_into_the_current_net(tmp_path):
    arrays = small_arrays(5)
    _, new = upgrade(tmp_path, with_blobs(V0, arrays).SerializeToString())
    net = net_from_text(tmp_path, CURRENT, caffe.TEST)
    net.copy_from(str(new))
    for name, blobs in arrays.items():
        for blob, array in zip(net.params[name], blobs, strict=True):
            np.testing.assert_array_equal(blob.data, array)


def test_fields_of_unknown_trees_stay_in_the_file(tmp_path):
    net = with_blobs(CURRENT, small_arrays(5))
    content = net.SerializeToString() + b"\xca\x3e\x03abc"  # field 1001 of a net, a text
    _, new = upgrade(tmp_path, content)
    assert sorted(new.read_bytes()) == sorted(content)


def test_a_text_file_is_refused(tmp_path, capfd):
    code, new = upgrade(tmp_path, V1.encode())
    assert (code, new.exists()) == (1, False)
    assert "old.caffemodel: not a binary protobuf file" in capfd.readouterr().err
