"""upgrade_net_proto_text: what it writes, says and returns."""

import pytest
from google.protobuf import text_format

from caffe.commands import upgrade_net_proto_text
from caffe.proto import caffe_pb2
from caffe.prototxt import read_text
from tests.old_nets import CURRENT, V0, V1

OTHER_TYPES_FIELD = 'layers { layer { name: "r" type: "relu" group: 2 } bottom: "x" top: "y" }'


def upgrade(tmp_path, text):
    old, new = tmp_path / "old.prototxt", tmp_path / "new.prototxt"
    old.write_text(text)
    code = upgrade_net_proto_text.main([str(old), str(new)])
    return code, read_text(new, caffe_pb2.NetParameter()) if new.exists() else None


@pytest.mark.parametrize("text", [V0, V1, CURRENT])
def test_nets_of_any_age_are_written_in_the_current_form(tmp_path, capfd, text):
    code, net = upgrade(tmp_path, text)
    assert (code, net) == (0, text_format.Parse(CURRENT, caffe_pb2.NetParameter()))
    log = capfd.readouterr().err
    assert f"Wrote upgraded NetParameter text proto to {tmp_path}/new.prototxt" in log
    assert ("File already in latest proto format" in log) == (text is CURRENT)


def test_a_field_that_is_left_out_gives_exit_code_1_and_the_net(tmp_path, capfd):
    code, net = upgrade(tmp_path, OTHER_TYPES_FIELD)
    assert (code, net.layer[0].type) == (1, "ReLU")
    log = capfd.readouterr().err
    assert "Unknown parameter group for layer type relu" in log
    assert "Encountered error(s) while upgrading prototxt; see details above." in log


def test_a_net_that_cannot_be_read_leaves_no_file(tmp_path, capfd):
    assert upgrade(tmp_path, "layers { typ: RELU }") == (1, None)
    error = capfd.readouterr().err
    assert error == (
        f"upgrade_net_proto_text: {tmp_path}/old.prototxt:1:10: V1LayerParameter has no field "
        "'typ'; did you mean type or top?\n"
    )


def test_mixed_nets_name_the_file(tmp_path, capfd):
    assert upgrade(tmp_path, 'layers { type: RELU } layer { type: "ReLU" }') == (1, None)
    assert "old.prototxt: 1 old `layers` beside 1 `layer`" in capfd.readouterr().err
