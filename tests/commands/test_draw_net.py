"""draw_net: the command's flags, what it says, its errors."""

import shutil

import pytest

from caffe.commands.draw_net import main

NET = """
layer { name: "in" type: "Input" top: "x" include { phase: TEST }
  input_param { shape { dim: 2 dim: 3 } } }
layer { name: "fill" type: "DummyData" top: "x" include { phase: TRAIN }
  dummy_data_param { shape { dim: 2 dim: 3 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 5 } }
"""


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(NET, encoding="utf-8")
    return str(path)


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs Graphviz")
def test_draws_what_the_flags_say(net, tmp_path, capsys):
    out = tmp_path / "net.svg"
    assert main([net, str(out)]) == 0
    assert capsys.readouterr().out == f"Drawing net to {out}\n"
    text = out.read_text(encoding="utf-8")
    assert ">in<" in text
    assert ">fill<" in text
    assert "lr mult" not in text
    flags = ["--rankdir", "TB", "--phase=TRAIN", "--display_lrm"]
    assert main([*flags, net, str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    assert ">fill (DummyData)<" in text
    assert ">fc (InnerProduct) lr mult: 1, 1<" in text
    assert "Input" not in text


@pytest.mark.parametrize(
    ("flags", "text", "message"),
    [
        ([], 'layer { nam: "x" }', "net.prototxt:1:9: "),
        (["--rankdir", "UP"], NET, "rankdir: expected one of LR, RL, TB, BT, got UP"),
    ],
)
def test_mistakes_are_one_line(net, tmp_path, capsys, flags, text, message):
    (tmp_path / "net.prototxt").write_text(text, encoding="utf-8")
    assert main([*flags, net, str(tmp_path / "net.svg")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("draw_net: ")
    assert message in error
    assert error.count("\n") == 1


def test_another_phase_is_refused(net, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--phase", "BOTH", net, "net.svg"])
    assert "--phase" in capsys.readouterr().err
