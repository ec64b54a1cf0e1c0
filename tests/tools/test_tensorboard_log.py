"""tensorboard_log.py: event files hold the log's numbers, read here without TensorBoard."""

import pathlib
import struct
import subprocess
import sys

import pytest
import tensorboard_log
from tensorboardX.proto import event_pb2

from tests.tools.tiny_runs import write_log


def read_events(folder):
    """The events of a folder's files, each record: length, its CRC, the message, its CRC."""
    found = []
    for path in sorted(folder.glob(tensorboard_log.EVENTS)):
        content, place = path.read_bytes(), 0
        while place < len(content):
            (length,) = struct.unpack_from("<Q", content, place)
            found.append(event_pb2.Event.FromString(content[place + 12 : place + 12 + length]))
            place += 16 + length
    return found


def scalars(folder):
    """(tag, iteration, value) of every scalar."""
    return [
        (value.tag, event.step, round(value.simple_value, 5))
        for event in read_events(folder)
        for value in event.summary.value
    ]


def test_every_number_of_a_record_is_a_curve(tmp_path):
    made = tensorboard_log.events(tmp_path)
    made.add({"iter": 20, "loss": 0.5, "loss_feature": 0.25, "images_per_s": 4, "time": 1e9})
    made.add({"iter": 40, "loss": 0.125})
    made.close()
    assert sorted(scalars(tmp_path)) == [
        ("images_per_s", 20, 4.0),
        ("loss", 20, 0.5),
        ("loss", 40, 0.125),
        ("loss_feature", 20, 0.25),
    ]
    times = [event.wall_time for event in read_events(tmp_path) if event.step == 20]
    assert set(times) == {1e9}


def test_a_resumed_run_takes_back_what_it_does_again(tmp_path):
    for start in (0, 30):
        made = tensorboard_log.Events(tmp_path, start)
        made.add({"iter": start + 20, "loss": 1.0})
        made.close()
    starts = [e.step for e in read_events(tmp_path)
              if e.HasField("session_log") and e.session_log.status == 1]  # fmt: skip
    assert starts == [31], "a session starts behind iteration 30"


def test_what_is_not_closed_is_written_at_the_end_of_the_program(tmp_path):
    program = "import sys, pathlib, tensorboard_log as t; e = t.events(pathlib.Path(sys.argv[1]))\n"
    program += "for i in range(50): e.add({'iter': i, 'loss': i})"
    folder = pathlib.Path(tensorboard_log.__file__).parent
    subprocess.run([sys.executable, "-c", program, tmp_path], cwd=folder, check=True)
    assert [step for _, step, _ in scalars(tmp_path)] == [*range(50)]


def test_logs_that_are_there(tmp_path, capsys):
    write_log(tmp_path / "seed1/student/log.jsonl", seed=1)
    write_log(tmp_path / "pretrain/log.jsonl", seed=2)
    assert tensorboard_log.main([str(tmp_path)]) == 0
    losses = [s for s in scalars(tmp_path / "seed1/student") if s[0] == "loss"]
    assert losses == [("loss", 2, 2.5), ("loss", 4, 1.75), ("loss", 6, 1.5)]
    assert "pretrain: 3 records" in capsys.readouterr().out
    assert tensorboard_log.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("has an event file already") == 2


def test_without_the_library_training_goes_on_and_the_command_says_why(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    made = tensorboard_log.events(tmp_path)
    made.add({"iter": 1, "loss": 2})
    made.close()
    assert "pip install tensorboardX" in capsys.readouterr().err
    write_log(tmp_path / "student/log.jsonl", seed=1)
    assert tensorboard_log.main([str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"tensorboard_log.py: {tensorboard_log.MISSING}\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no log.jsonl in it or below"), ("{\n", "log.jsonl:1: expected a JSON object, got")],
)
def test_what_is_wrong_is_one_line(tmp_path, capsys, content, message):
    if content:
        (tmp_path / "log.jsonl").write_text(content)
    assert tensorboard_log.main([str(tmp_path)]) == 1
    assert message in capsys.readouterr().err
