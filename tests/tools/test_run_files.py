"""run_files.py: the newest snapshots, the log after a crash, and a message for each mistake."""

import json

import pytest
import run_files
from errors import UserError

from caffe.proto import caffe_pb2


def test_the_newest_whole_snapshot_counts(tmp_path):
    for name in ("a_iter_9.caffemodel", "a_iter_9.solverstate", "a_iter_80.caffemodel",
                 "a_iter_100.solverstate"):  # fmt: skip
        (tmp_path / name).write_bytes(b"")
    assert run_files.last_weights(tmp_path).name == "a_iter_80.caffemodel"
    assert run_files.last_state(tmp_path).name == "a_iter_9.solverstate"
    assert run_files.iteration_of(tmp_path / "a_iter_80.caffemodel") == 80
    assert run_files.last_state(tmp_path / "none") is None
    with pytest.raises(UserError, match=r"none: no snapshot \*_iter_<n>\.caffemodel; train none"):
        run_files.last_weights(tmp_path / "none")


def test_a_log_goes_on_behind_the_snapshot_and_without_a_cut_line(tmp_path):
    path = tmp_path / "log.jsonl"
    run_files.drop_after(path, 5)
    assert not path.exists()
    for record in ({"batch_size": 4}, {"iter": 5, "loss": 2}, {"iter": 7, "loss": 1}):
        run_files.append_line(path, record)
    with open(path, "a") as file:
        file.write('{"iter": 3, "lo')
    run_files.drop_after(path, 5)
    run_files.append_line(path, {"iter": 6, "loss": 3})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [{"batch_size": 4}, {"iter": 5, "loss": 2}, {"iter": 6, "loss": 3}]


def test_a_run_is_not_continued_with_other_options(tmp_path):
    run_files.check_same_options(tmp_path, {"seed": 1, "scale": 2.5})
    run_files.check_same_options(tmp_path, {"seed": 1, "scale": 2.5})
    with pytest.raises(UserError, match=r"other options \(scale 2\.5 -> 3\); give another --runs"):
        run_files.check_same_options(tmp_path, {"seed": 1, "scale": 3})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"net\.prototxt: cannot read: No such file"),
        (b"name: 'a'\nlayre { }", r"net\.prototxt:2:1 : .*layre"),
        (b"name: '\xff'", r"net\.prototxt: expected a prototxt, which is text in UTF-8"),
    ],
)
def test_an_unreadable_prototxt_is_named(tmp_path, content, message):
    path = tmp_path / "net.prototxt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        run_files.read_prototxt(path, caffe_pb2.NetParameter())
