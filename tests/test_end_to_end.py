"""The user's commands in order, on a handful of images: all four stages and the table."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from caffe import caffemodel

ROOT = Path(__file__).parents[1]
STUDENT_CONVS = 13
LIMITS = ("--batch-size", "4", "--iterations", "2", "--display", "1")


def call(*command, code=0):
    """Run a command of the project's root; its output, once its exit code is `code`."""
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    words = [str(word) for word in command]
    if words[0].endswith(".py"):
        words.insert(0, sys.executable)
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A demo set of a few images with prepared folders and proposals."""
    folder = tmp_path_factory.mktemp("data") / "demo"
    call("data/make_demo.py", "--out", folder, "--train", 12, "--test", 6, "--objects", 16)
    for split in ("train", "test"):
        annotations = folder / "annotations" / f"instances_{split}.json"
        images = folder / "images" / split
        out = folder / split
        call("data/prepare_coco.py", "--annotations", annotations, "--images", images, "--out", out)
        call("data/make_proposals.py", "--set", out, "--boxes", 64, "--workers", 1)
    return folder


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """All stages, two iterations each."""
    runs = tmp_path_factory.mktemp("runs")
    here = ("--dataset", "demo", "--runs", runs, *LIMITS)
    images = ("--source", data / "train")
    objects = ("--source", data / "objects_train.txt")
    call("tools/train.py", "pretrain", *here, *objects)
    call("tools/train_wsddn.sh", *here, *images)
    call("tools/train.py", "student", *here, *images)
    call("tools/distill.sh", "stage1", "stage2", *here, *images)
    return runs


def weights(runs, stage):
    folder = runs / stage if stage == "pretrain" else runs / "seed1" / stage
    layers = caffemodel.read(folder / f"{stage}_iter_2.caffemodel").layers
    return {layer.name: layer.blobs for layer in layers if layer.blobs}


def test_every_stage_leaves_log_weights_and_state(runs):
    for stage in ("wsddn", "student", "stage1", "stage2"):
        folder = runs / "seed1" / stage
        assert (folder / f"{stage}_iter_2.solverstate").is_file()
        about, *lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
        assert about["stage"] == stage
        assert [line["iter"] for line in lines] == [1, 2]
        assert all(np.isfinite(line["loss"]) for line in lines)


def test_each_stage_moves_what_it_may(runs):
    start, teacher = weights(runs, "pretrain"), weights(runs, "wsddn")
    first, second = weights(runs, "stage1"), weights(runs, "stage2")
    for name, blobs in teacher.items():
        for stage in (first, second):
            for mine, blob in zip(stage[f"teacher_{name}"], blobs, strict=True):
                np.testing.assert_array_equal(mine, blob)
    convs = [name for name in first if name.startswith("conv")]
    assert len(convs) == STUDENT_CONVS
    for name in convs:
        assert not np.array_equal(first[name][0], start[name][0])
        assert not np.array_equal(second[name][0], first[name][0])
    assert "fc6" not in first
    assert not np.array_equal(second["fc6"][0], start["fc6"][0])
    assert not np.array_equal(teacher["fc6"][0], start["fc6"][0])


def test_the_same_command_passes_over_a_complete_stage(data, runs):
    here = ("--dataset", "demo", "--runs", runs, *LIMITS, "--source", data / "train")
    before = (runs / "seed1" / "stage1" / "stage1_iter_2.caffemodel").stat().st_mtime_ns
    assert "complete (2 iterations)" in call("tools/distill.sh", "stage1", *here)
    assert (runs / "seed1" / "stage1" / "stage1_iter_2.caffemodel").stat().st_mtime_ns == before


def test_precision_and_recompute(data, runs, tmp_path):
    start = runs / "pretrain" / "pretrain_iter_2.caffemodel"
    here = ("--dataset", "demo", "--runs", tmp_path, "--weights", start, *LIMITS)
    here = (*here, "--source", data / "train", "--recompute")
    told = call("tools/train.py", "wsddn", *here, "--precision", "bf16")
    assert "wsddn: peak memory so far " in told
    text = (tmp_path / "seed1" / "wsddn" / "log.jsonl").read_text()
    about, *lines = map(json.loads, text.splitlines())
    assert about["precision"] == "bf16"
    exact = (runs / "seed1" / "wsddn" / "log.jsonl").read_text().splitlines()[1:]
    for line, other in zip(lines, map(json.loads, exact), strict=True):
        assert line["loss"] != other["loss"]
        assert line["loss"] == pytest.approx(other["loss"], rel=0.05)
    told = call("tools/train.py", "wsddn", *here, "--iterations", 3, code=1)
    assert "started with other options (precision bf16 -> None)" in told


def test_more_iterations_resume_from_the_last_snapshot(data, runs, tmp_path):
    start = runs / "pretrain" / "pretrain_iter_2.caffemodel"
    here = ("--dataset", "demo", "--runs", tmp_path, "--weights", start, "--batch-size", 4)
    here = (*here, "--source", data / "train", "--display", 1)
    call("tools/train.py", "student", *here, "--iterations", 1)
    call("tools/train.py", "student", *here, "--iterations", 3)
    lines = (tmp_path / "seed1" / "student" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line).get("iter") for line in lines] == [None, 1, 2, 3]
    solver = (tmp_path / "seed1" / "student" / "solver.prototxt").read_text()
    assert f"random_seed: {1 + 1_000_003 * 1}\n" in solver  # other dropout masks than the first
    told = call("tools/train.py", "student", *here, "--iterations", 4, "--base-lr", 1, code=1)
    assert "started with other options (base_lr None -> 1.0)" in told
    assert told.count("\n") == 1


def test_an_interrupt_writes_a_snapshot(data, runs, tmp_path):
    command = [sys.executable, "tools/train.py", "student", "--dataset", "demo"]
    command += ["--weights", runs / "pretrain" / "pretrain_iter_2.caffemodel"]
    command += ["--runs", tmp_path, "--source", data / "train", "--batch-size", 4, "--display", 1]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [str(word) for word in command]
    log = tmp_path / "seed1" / "student" / "log.jsonl"
    with subprocess.Popen(words, cwd=ROOT, env=environment, stderr=subprocess.PIPE) as run:
        while run.poll() is None and not (log.exists() and log.read_text().count("\n") > 1):
            time.sleep(0.1)
        run.send_signal(signal.SIGINT)
        _, told = run.communicate(timeout=60)
    assert run.returncode == 130
    assert b"the same command continues" in told
    assert b"Traceback" not in told
    last = json.loads(log.read_text().splitlines()[-1])["iter"]
    assert (log.parent / f"student_iter_{last}.solverstate").is_file()


def test_table_and_report(data, runs):
    told = call("tools/test_cls.py", "--dataset", "demo", "--runs", runs, "--set", data / "test")
    for word in ("S-Cls (w/o)", "T-WDet", "S-Cls (w/)", "mAP"):
        assert word in told
    table = json.loads((runs / "table.json").read_text())
    assert (runs / "table.csv").is_file()
    assert table
    out = runs / "report.html"
    call(
        "tools/report.py", "--dataset", "demo", "--runs", runs, "--set", data / "test", "--out", out
    )
    assert "S-Cls (w/)" in out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("tools/distill.sh", "stage2", "--runs", "nowhere"), "train pretrain first"),
        (("tools/distill.sh",), "expected stage1, stage2 or both"),
        (("tools/train.py", "student", "--dataset", "coco"), "give --weights"),
        (("tools/test_cls.py", "--runs", "nowhere"), "train first"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_1(command, words):
    told = call(*command, code=1)
    assert words in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("tool", ["train_wsddn.sh", "distill.sh", "train.py", "test_cls.py"])
def test_help(tool):
    assert "--dataset" in call(f"tools/{tool}", "--help")
