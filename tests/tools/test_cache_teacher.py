"""cache_teacher.py: the teacher's own answers, counted when whole, of one origin."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cache_teacher
import numpy as np
import pytest
import train

import caffe
from python_layers import teacher_cache
from python_layers.only_run import only_run
from python_layers.teacher_cache import TeacherCache
from tests.prepared_sets import make_set
from tests.tools.tiny_stages import BATCH, IMAGES, edit_net, losses, write_stages

ROOT = Path(__file__).parents[2]
ENTRIES = IMAGES * 4  # two scales, mirrored or not
STAGES = ("stage1", "stage2")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder, words) of stages whose caches are complete; never changed by a test."""
    folder = tmp_path_factory.mktemp("made")
    words = write_stages(folder)
    assert cache_teacher.main([*words, "--batch-size", "2"]) == 0
    return folder, words


@pytest.fixture
def stages(made, tmp_path):
    """(folder, words) of a copy, without caches."""
    shutil.copytree(made[0], tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "runs" / "seed1" / "teacher_cache")
    return tmp_path, [word.replace(str(made[0]), str(tmp_path)) for word in made[1]]


def cache_of(folder, stage):
    return folder / "runs" / "seed1" / "teacher_cache" / f"{stage}.arr"


def run(words, capsys, code=0):
    """What the command prints on stdout, or the one line on stderr if it is to fail."""
    assert cache_teacher.main([*words]) == code
    out, err = capsys.readouterr()
    if code:
        lines = [line for line in err.splitlines() if "image" not in line or "B/s" not in line]
        return lines[-1]
    return out


def learn(words, runs, *more):
    """Train for six iterations, more than two epochs; a log line each."""
    limits = ["--iterations", "6", "--display", "1", "--runs", str(runs)]
    return train.main([*words, *limits, *more])


@pytest.fixture(scope="module")
def live(made):
    """The losses of both stages with the teacher itself, and the runs they left."""
    folder, words = made
    runs = folder / "live"
    shutil.copytree(folder / "runs" / "seed1" / "wsddn", runs / "seed1" / "wsddn")
    assert learn(["stage1", "stage2", *words], runs) == 0
    return {stage: losses(runs, stage) for stage in STAGES}, runs


def compare(got, wanted, limit):
    assert len(got) == len(wanted) == 6
    for mine, other in zip(got, wanted, strict=True):
        for name, value in other.items():
            if name.startswith("loss"):
                assert mine[name] == pytest.approx(value, rel=limit)
    assert len({line["loss"] for line in got}) == 6


def test_training_from_the_cache_gives_the_losses_of_the_live_teacher(made, live, tmp_path):
    folder, words = made
    shutil.copytree(folder / "runs", tmp_path, dirs_exist_ok=True)
    assert learn(["stage1", "stage2", *words], tmp_path, "--cache") == 0
    for stage in STAGES:
        compare(losses(tmp_path, stage), live[0][stage], 1e-5)


def test_a_training_from_the_cache_resumes(made, tmp_path):
    folder, words = made
    for name, more in (("live", []), ("cached", ["--cache", str(cache_of(folder, "x").parent)])):
        runs = tmp_path / name
        shutil.copytree(folder / "runs" / "seed1" / "wsddn", runs / "seed1" / "wsddn")
        limits = ["--display", "1", "--runs", str(runs), *more]
        for last in ("2", "6"):
            assert train.main(["stage1", *words, *limits, "--iterations", last]) == 0
    compare(losses(tmp_path / "cached", "stage1"), losses(tmp_path / "live", "stage1"), 1e-5)


def test_the_students_size_is_free_of_the_cache(made, tmp_path):
    folder, words = made
    shutil.copytree(folder / "runs", tmp_path, dirs_exist_ok=True)
    small, found = ("--student-size", "32"), []
    for more in ((), ("--cache",)):
        assert learn(["stage1", *words], tmp_path, *small, *more) == 0
        found.append(losses(tmp_path, "stage1"))
        shutil.rmtree(tmp_path / "seed1" / "stage1")
    compare(found[1], found[0], 1e-5)


def test_stage_2_without_cache_gets_its_teacher_after_a_stage_1_with_one(made, live, tmp_path):
    folder, words = made
    shutil.copytree(folder / "runs", tmp_path, dirs_exist_ok=True)
    assert learn(["stage1", *words], tmp_path, "--cache") == 0
    assert learn(["stage2", *words], tmp_path) == 0
    compare(losses(tmp_path, "stage2"), live[0]["stage2"], 1e-5)


def test_half_stores_features_in_half_the_bytes(made, live, stages, capsys):
    folder, words = stages
    told = run(["stage1", *words, "--half"], capsys)
    assert "features float16" in told
    with_half, whole = (TeacherCache(cache_of(f, "stage1")) for f in (folder, made[0]))
    assert with_half.arrays["boxes"].dtype == np.float32
    np.testing.assert_allclose(
        with_half.arrays["features"], whole.arrays["features"], rtol=2**-11, atol=1e-7
    )
    size, half_size = (c.arrays["features"].nbytes for c in (whole, with_half))
    assert half_size * 2 == size
    assert learn(["stage1", *words], folder / "runs", "--cache") == 0
    compare(losses(folder / "runs", "stage1"), live[0]["stage1"], 1e-3)


def test_says_first_what_it_writes_and_leaves_alone_what_is_complete(stages, capsys):
    folder, words = stages
    told = run(words, capsys).splitlines()
    sizes = [cache_of(folder, stage).stat().st_size for stage in STAGES]
    assert "stage1, stage2: 7 images x 4 variants (32, 32 mirrored, 48, 48 mirrored)" in told[0]
    assert f"{sum(sizes):,} bytes to reserve, " in told[0]
    before = [cache_of(folder, stage).stat().st_mtime_ns for stage in STAGES]
    again = run(words, capsys).splitlines()
    assert again == told[1:]
    held = ("boxes float32, features float32", "p float32")
    for line, what, size in zip(again, held, sizes, strict=True):
        assert f".arr: complete ({what}; {size:,} bytes)" in line
    assert [cache_of(folder, stage).stat().st_mtime_ns for stage in STAGES] == before


def asked(monkeypatch):
    """Count the images that the teacher is asked about."""
    counts, answers = [], cache_teacher.answers

    def count(net, stage, names, images):
        counts.append(images)
        return answers(net, stage, names, images)

    monkeypatch.setattr(cache_teacher, "answers", count)
    return counts


KILLED = """
import os, signal, sys
import cache_teacher
from python_layers.teacher_cache import Writer

puts, put = [], Writer._put
def killing(self, name, variant, image, values):
    puts.append(name)
    if len(puts) == {last} and name != "rows":
        values = values[:-1]
    put(self, name, variant, image, values)
    if len(puts) == {last}:
        os.kill(os.getpid(), signal.SIGKILL)
Writer._put = killing
cache_teacher.main(sys.argv[1:])
"""


@pytest.mark.parametrize(("last", "there"), [(14, 3), (17, 5)])
def test_killed_at_any_moment_it_goes_on(made, stages, capsys, monkeypatch, last, there):
    # A mini-batch of 3 is 6 puts of data, then 3 of marks: the 14th is an entry of the second batch
    # that is cut short, the 17th its second mark.
    folder, words = stages
    paths = [str(ROOT), str(ROOT / "tools")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    program = KILLED.format(last=last)
    done = subprocess.run([sys.executable, "-c", program, "stage1", *words], env=environment,
                          capture_output=True)  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    path = cache_of(folder, "stage1")
    variants = list(TeacherCache(path).variants)
    assert TeacherCache(path).missing(variants) == ENTRIES - there
    assert learn(["stage1", *words], folder / "runs", "--cache") == 1
    told = capsys.readouterr().err
    assert f"stage1.arr: {ENTRIES - there} of {ENTRIES} entries are missing; go on: python" in told
    counts = asked(monkeypatch)
    run(["stage1", *words], capsys)
    assert sum(counts) == ENTRIES - there
    assert same_arrays(path, cache_of(made[0], "stage1"))


def same_arrays(path, other):
    mine, others = TeacherCache(path), TeacherCache(other)
    arrays = zip(mine.arrays.values(), others.arrays.values(), strict=True)
    return np.array_equal(mine.rows, others.rows) and all(
        np.array_equal(a[v, n, :rows], b[v, n, :rows])
        for a, b in arrays
        for (v, n), rows in np.ndenumerate(mine.rows)
    )


def test_stages_that_were_stopped_at_different_images_both_go_on(made, stages, capsys, monkeypatch):
    folder, words = stages
    add, adds = teacher_cache.Writer.add, []

    def stopping(self, *given):
        adds.append(given)
        if len(adds) == 4:  # the second batch is in the first stage's file alone
            raise KeyboardInterrupt
        add(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(teacher_cache.Writer, "add", stopping)
        assert cache_teacher.main(words) == 130
    assert "stopped; the same command continues" in capsys.readouterr().err
    counts = asked(monkeypatch)
    run(words, capsys)
    assert sum(counts) == 2 * (ENTRIES - BATCH)
    for stage in STAGES:
        assert same_arrays(cache_of(folder, stage), cache_of(made[0], stage))


def test_a_stage_added_later_is_asked_alone(stages, capsys, monkeypatch):
    folder, words = stages
    run(["stage2", *words], capsys)
    assert not cache_of(folder, "stage1").exists()
    before = cache_of(folder, "stage2").read_bytes()
    counts = asked(monkeypatch)
    assert "stage1: 7 images" in run(words, capsys)
    assert sum(counts) == ENTRIES
    assert cache_of(folder, "stage2").read_bytes() == before


def test_refuses_where_the_disk_has_less(stages, capsys, monkeypatch):
    folder, words = stages
    usage = shutil.disk_usage(folder)._replace(free=2000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    told = run(words, capsys, 1)
    assert "bytes free, got 2,000; free some space, or give another folder (--cache)" in told
    assert not cache_of(folder, "stage1").exists()


def test_what_was_there_when_the_disk_was_full_counts(stages, capsys, monkeypatch):
    folder, words = stages

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        told = run(words, capsys, 1)
        assert "bytes: No space left on device" in told
        assert "stage1.arr" in told
        assert not list(folder.glob("runs/seed1/teacher_cache/*.arr"))
        assert not list(folder.glob("runs/seed1/teacher_cache/.*"))
    put, puts = teacher_cache.Writer._put, []

    def filling(self, *given):
        puts.append(given)
        return put(self, *given) if len(puts) < 20 else full()

    with monkeypatch.context() as patch:
        patch.setattr(teacher_cache.Writer, "_put", filling)
        told = run(["stage1", *words], capsys, 1)
    assert "No space left on device: the disk is full; free some space and run the same" in told
    counts = asked(monkeypatch)
    run(["stage1", *words], capsys)
    assert sum(counts) == ENTRIES - 2 * BATCH


def test_only_one_builder_at_a_time(stages, capsys):
    folder, words = stages
    caches = cache_of(folder, "stage1").parent
    caches.mkdir()
    begun = caches / ".stage1.arr.12345"
    begun.write_bytes(b"x")
    with only_run(caches):
        told = run(words, capsys, 1)
    assert "teacher_cache: another run is writing here; wait for it" in told
    assert [path.name for path in sorted(caches.iterdir())] == [begun.name]
    run(words, capsys)
    assert not begun.exists(), "what a killed builder left is in nobody's way"


def other_weights(folder):
    path = folder / "runs/seed1/wsddn/wsddn_iter_1.caffemodel"
    path.write_bytes(path.read_bytes() + b"\x0a\x01x")  # and a name


def other_selection(folder):
    def change(net):
        (layer,) = (la for la in net.layer if la.python_param.layer == "RoISelection")
        layer.python_param.param_str = layer.python_param.param_str.replace("0.5", "0.6")

    edit_net(folder, "stage1", change)


def other_proposals(folder):
    path = folder / "set" / "proposals.arr"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


CHANGES = [
    (other_weights, "the teacher's weights"),
    (other_selection, "the teacher's part of the net"),
    (other_proposals, "the proposals"),
]


@pytest.mark.parametrize(("change", "part"), CHANGES)
def test_a_cache_of_something_else_is_named_and_replaced_only_if_asked(
    made, stages, capsys, change, part
):
    folder, words = stages
    run(["stage1", *words], capsys)
    change(folder)
    told = run(["stage1", *words], capsys, 1)
    assert f"stage1.arr: changed since it was made: {part}; make it again: python tools/" in told
    assert told.endswith(" --rebuild")
    assert learn(["stage1", *words], folder / "runs", "--cache") == 1
    assert capsys.readouterr().err.count(f"changed since it was made: {part};") == 1
    run(["stage1", *words, "--rebuild"], capsys)
    assert learn(["stage1", *words], folder / "runs", "--cache") == 0


def test_all_that_changed_is_named(stages, capsys):
    folder, words = stages
    run(["stage1", *words], capsys)
    for change, _ in CHANGES:
        change(folder)
    told = run(["stage1", *words], capsys, 1)
    assert f"made: {', '.join(part for _, part in CHANGES)}; make it again" in told


def test_a_cache_of_another_precision_is_named(made, tmp_path, capsys):
    folder, words = made
    shutil.copytree(folder / "runs", tmp_path, dirs_exist_ok=True)
    try:
        assert learn(["stage1", *words], tmp_path, "--cache", "--precision", "bf16") == 1
    finally:
        caffe.set_precision("fp32")
    told = capsys.readouterr().err
    assert "stage1.arr: changed since it was made: the precision; make it again: " in told
    assert told.endswith(" --precision bf16 --rebuild\n")


def test_another_image_list_is_named(made, stages, capsys):
    folder, words = stages
    run(["stage2", *words], capsys)
    write_other_list(folder)
    told = run(["stage2", *words], capsys, 1)
    assert "changed since it was made: the proposals, the image list; make it again" in told


def write_other_list(folder):
    """The same set with images of other names."""
    other = folder / "other"
    make_set(other, suffix=".bmp")
    shutil.rmtree(folder / "set")
    shutil.move(other / "set", folder / "set")


def test_missing_damaged_and_too_small_caches(stages, capsys):
    folder, words = stages
    path = cache_of(folder, "stage2")
    runs = folder / "runs"
    assert learn(["stage2", *words], runs, "--cache", "--stage1", str(folder / "x")) == 1
    told = capsys.readouterr().err
    assert (
        f"{path}: no such cache; make it: python tools/cache_teacher.py stage2 --dataset demo"
        in told
    )
    assert f"--models {folder}/models" in told
    assert not (runs / "seed1" / "stage2").exists()
    run(["stage2", *words, "--scales", "48"], capsys)
    told = run(["stage2", *words], capsys, 1)
    assert "expected images of side 32, got 48, 48 mirrored; make it again: " in told
    path.write_bytes(path.read_bytes()[:-1])
    told = run(["stage2", *words], capsys, 1)
    assert "the file is truncated: make it again: python tools/cache_teacher.py stage2 " in told
    path.write_bytes((folder / "set" / "labels.arr").read_bytes())
    assert "expected a teacher's cache, got another array file" in run(
        ["stage2", *words], capsys, 1
    )
    run(["stage2", *words, "--rebuild"], capsys)


def test_features_too_large_for_half_are_refused(stages, capsys):
    folder, words = stages

    def enlarge(net):
        (layer,) = (la for la in net.layer if la.name == "teacher_roi_conv5_3")
        layer.roi_pooling_param.score_bias = 1e6

    edit_net(folder, "stage1", enlarge)
    told = run(["stage1", *words, "--half"], capsys, 1)
    assert "features of image 0: expected numbers that fit float16, got " in told
    assert told.endswith("make the cache without --half")


def test_stages_with_other_data_are_cached_one_at_a_time(stages, capsys):
    folder, words = stages

    def change(net):
        param = net.layer[0].python_param
        param.param_str = param.param_str.replace('"boxes": 6', '"boxes": 5')

    edit_net(folder, "stage2", change)
    assert "the stages' data layers differ in boxes; cache one stage" in run(words, capsys, 1)


def test_an_unreadable_image_stops_it_whatever_the_net_says(stages, capsys):
    folder, words = stages
    (folder / "images" / "5.png").write_bytes(b"x")

    def change(net):
        param = net.layer[0].python_param
        param.param_str = param.param_str.replace("}", ', "on_error": "skip"}')

    edit_net(folder, "stage1", change)
    told = run(["stage1", *words], capsys, 1)
    assert "images/5.png: expected a whole JPEG or PNG" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--runs", "nowhere"), "nowhere/seed1/wsddn: no snapshot"),
        (("--teacher", "nowhere.caffemodel"), "py: nowhere.caffemodel: No such file or directory"),
        (("--models", "nowhere"), "expected nets in nowhere/demo, where those of no data"),
    ],
)
def test_mistakes_are_one_line(stages, capsys, words, told):
    assert told in run([*stages[1], *words], capsys, 1)
    with pytest.raises(SystemExit):
        cache_teacher.main(["stage3"])
    assert "expected one of stage1, stage2, got 'stage3'" in capsys.readouterr().err


def test_distill_makes_the_cache_first(stages):
    folder, words = stages
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    limits = ["--iterations", "1", "--display", "1"]
    command = [str(ROOT / "tools" / "distill.sh"), "stage2", *words, *limits, "--cache"]
    command += ["--stage1", str(folder / "student.caffemodel")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "stage2: 7 images x 4 variants" in done.stdout
    assert not cache_of(folder, "stage1").exists()
    assert len(losses(folder / "runs", "stage2")) == 1
