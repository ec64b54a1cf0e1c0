"""The image's entry point, run by sh in a folder laid out as the image's /workspace."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENTRYPOINT = ROOT / "docker" / "entrypoint.sh"
NOT_MOUNTED = "results vanish with the container; add -v $PWD/data:/data"


@pytest.fixture
def work(tmp_path):
    """/workspace and /data; programs that print how they are called; `gpu`: caffe sees one."""
    for name in ("work", "mount", "bin", "project/tools", "project/data", "project/docker"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "work" / "data").symlink_to(tmp_path / "mount")
    (tmp_path / "work" / "out").symlink_to(tmp_path / "mount" / "out")
    (tmp_path / "work" / "tools").symlink_to(tmp_path / "project" / "tools")
    for name in ("tools/distill.sh", "tools/test_cls.py", "data/prepare_coco.py"):
        (tmp_path / "project" / name).write_text('#!/bin/sh\necho "$0" "$@"\n')
        (tmp_path / "project" / name).chmod(0o755)
    caffe = f'case "$*" in *--gpu*) test -e {tmp_path}/gpu;; *) echo caffe "$@";; esac'
    for name, text in {
        "caffe": caffe,
        "make": 'printf "%s\\n" "$@"',
        "python": 'echo python "$@"',
        "mountpoint": f"test -e {tmp_path}/mounted",
    }.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def call(work, *words, code=0, **environment):
    """What the entry point prints on stdout and on stderr, once its exit code is `code`."""
    # A copy, since the entry point finds its project by where it really lies.
    entry = work / "project" / "docker" / "run.sh"
    entry.write_text(ENTRYPOINT.read_text())
    path = f"{work / 'bin'}:{os.environ['PATH']}"
    environment = {"PATH": path, **environment}
    done = subprocess.run(
        ["sh", entry, *words], cwd=work / "work", env=environment, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def mount(work):
    (work / "mounted").touch()


def test_nothing_is_the_demo_with_the_images_own_python(work):
    mount(work)
    told, complaints = call(work)
    assert told.splitlines() == [
        "--no-print-directory",
        "-f",
        f"{work}/project/Makefile",
        "demo",
        "PY=python",
        "READY=",
        "GPU=",
    ]
    assert complaints == ""
    assert (work / "mount" / "out").is_dir()


def test_demo_passes_the_makefiles_variables(work):
    told, _ = call(work, "demo", "SEEDS=1 2 3", "TRAIN=--iterations 2")
    assert told.splitlines()[-2:] == ["SEEDS=1 2 3", "TRAIN=--iterations 2"]


def test_programs_are_the_images_own_even_where_data_is_mounted(work):
    mount(work)
    (work / "mount" / "prepare_coco.py").touch()
    told, _ = call(work, "tools/distill.sh", "stage1", "stage2", "--note", "two words")
    assert told == f"{work}/project/tools/distill.sh stage1 stage2 --note two words\n"
    told, _ = call(work, "python", "data/prepare_coco.py", "--out", "data/coco/train")
    assert told == f"python {work}/project/data/prepare_coco.py --out data/coco/train\n"


def test_other_commands_run_as_they_are_and_touch_nothing(work):
    told, complaints = call(work, "caffe", "device_query", NVIDIA_VISIBLE_DEVICES="all")
    assert (told, complaints) == ("caffe device_query\n", "")
    assert not (work / "mount" / "out").exists()


def test_without_a_mounted_folder_one_line_says_so(work):
    _, complaints = call(work, "tools/distill.sh", "stage1")
    assert complaints == f"container: nothing is mounted at {work}/mount: {NOT_MOUNTED}\n"


def test_a_folder_that_the_user_cannot_write_ends_with_one_line(work):
    mount(work)
    (work / "mount").rmdir()
    (work / "mount").touch()  # not even root can make a folder in a file
    _, complaints = call(work, "tools/distill.sh", "stage1", code=1)
    assert complaints == (
        f"container: {work}/mount/out: user {os.getuid()}:{os.getgid()} cannot write there; "
        "give that user the mounted folder, or add --user $(id -u):$(id -g)\n"
    )


def test_the_gpu_image_computes_on_gpu_0_unless_told_otherwise(work):
    mount(work)
    (work / "gpu").touch()
    gpu = {"NVIDIA_VISIBLE_DEVICES": "all"}
    assert call(work, "tools/distill.sh", "stage1", **gpu)[0].endswith(" stage1 --gpu 0\n")
    for words in (("--gpu", "3"), ("--gpu=3",)):
        told, _ = call(work, "tools/distill.sh", "stage1", *words, **gpu)
        assert told.endswith(" ".join((" stage1", *words)) + "\n")
    assert "GPU=0" in call(work, **gpu)[0].splitlines()
    assert call(work, "python", "tools/test_cls.py", **gpu)[0].endswith("test_cls.py\n")


def test_the_cpu_image_leaves_gpus_alone(work):
    mount(work)
    (work / "gpu").touch()
    assert call(work, "tools/distill.sh", "stage1")[0].endswith(" stage1\n")


def test_the_gpu_image_without_a_gpu_says_so_and_computes(work):
    mount(work)
    told, complaints = call(work, "tools/distill.sh", "stage1", NVIDIA_VISIBLE_DEVICES="all")
    assert told.endswith(" stage1\n")
    assert complaints == (
        "container: no GPU is visible, so the CPU computes; add --gpus all to docker run\n"
    )


@pytest.mark.parametrize(
    "words",
    [
        ("tools/distill.sh", "--gpu", "0"),
        ("tools/distill.sh", "--gpu=1"),
        ("demo", "GPU=0"),
        ("python", "tools/test_cls.py", "--gpu", "0"),
    ],
)
def test_a_gpu_that_is_asked_for_and_not_there_is_one_line(work, words):
    mount(work)
    told, complaints = call(work, *words, code=1, NVIDIA_VISIBLE_DEVICES="all")
    assert (told, complaints) == (
        "",
        "container: no GPU is visible; add --gpus all to docker run\n",
    )
