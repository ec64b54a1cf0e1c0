"""CachedTeacherData: ProposalData's mini-batches with what a cache holds about their images."""

import json

import numpy as np
import pytest

import caffe
from python_layers import teacher_cache
from python_layers.array_file import DataError
from python_layers.boxes import scale_boxes
from python_layers.cached_teacher_data import CachedTeacherData
from python_layers.prepared_set import PreparedSet
from python_layers.proposal_data import ProposalData
from tests.prepared_sets import make_set

SIDES, IMAGES = (24, 40), 7
VARIANTS = [(side, flip) for side in SIDES for flip in (False, True)]
COMMON = {"batch_size": 3, "scales": [24, 40], "mirror": True, "shuffle": True, "seed": 5}
STAGES = {
    "stage1": {"boxes": ("<f4", (4, 5)), "features": ("<f4", (4, 7))},
    "stage2": {"p": ("<f4", (1, 3))},
}


class Top:
    """What a Python layer uses of a blob."""

    def reshape(self, *shape):
        self.data = np.full(shape, np.nan, np.float32)


def entry(stage, variant, image):
    """Numbers that tell image and variant, in 1 to 4 rows that differ."""
    rows = 1 + (image + variant) % 4 if stage == "stage1" else 1
    mark = 100 * variant + 10 * image + np.arange(rows)[:, None]
    if stage == "stage2":
        return {"p": mark + np.arange(3) / 8}
    boxes = np.array([[0, 1, 7, 9, 0.5]]) + np.arange(rows)[:, None] / [1, 1, 1, 1, 8]
    return {"boxes": boxes, "features": mark + np.arange(7) / 8}


def make_cache(path, source, stage, variants=VARIANTS, half=False):
    arrays = dict(STAGES[stage])
    if half:
        arrays["features"] = ("<f2", arrays["features"][1])
    meta = {"fingerprint": teacher_cache.fingerprint(PreparedSet(source)), "command": "make it"}
    teacher_cache.create(path, arrays, variants, IMAGES, meta)
    with teacher_cache.writer(path) as pen:
        for v in range(len(variants)):
            pen.add(v, {image: entry(stage, v, image) for image in range(IMAGES)})
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(prepared set, {stage: its cache})"""
    folder = tmp_path_factory.mktemp("data")
    source, *_ = make_set(folder)
    return source, {s: make_cache(folder / f"{s}.arr", source, s) for s in STAGES}


def make_layer(cls, tops, **options):
    layer = cls()
    layer.param_str = json.dumps(options)
    top = [Top() for _ in range(tops)]
    layer.setup([], top)
    return layer, top


def cached(made, stage="stage1", tops=None, **options):
    source, caches = made
    own = {"student_side": 16} if stage == "stage1" else {}
    given = {"source": str(source), "cache": str(caches[stage]), **COMMON, **own, **options}
    return make_layer(CachedTeacherData, tops or {"stage1": 4, "stage2": 3}[stage], **given)


def run(layer, top, batches):
    values = []
    for _ in range(batches):
        layer.reshape([], top)
        layer.forward([], top)
        values.append([blob.data.copy() for blob in top])
    return values


def reference(source, batches, **options):
    """ProposalData's batches, and (side, mirrored, image) of each of their images."""
    layer, top = make_layer(ProposalData, 4, source=str(source), boxes=6, **{**COMMON, **options})
    ways = []
    for number in range(batches):
        plan, side = layer.batches.plan(number), layer.batches.scale(number)
        ways.append([(side, flip, order[element]) for order, element, flip in plan])
    return run(layer, top, batches), ways


@pytest.mark.parametrize("stage", STAGES)
def test_same_images_in_the_same_way_with_the_answers_about_them(made, stage):
    wanted, ways = reference(made[0], 9)
    got = run(*cached(made, stage), 9)
    assert {way[:2] for batch in ways for way in batch} == set(VARIANTS)
    for mine, other, batch in zip(got, wanted, ways, strict=True):
        for blob, value in zip(mine[:2], other[:2], strict=True):
            np.testing.assert_array_equal(blob, value)
        said = [entry(stage, VARIANTS.index(way[:2]), way[2]) for way in batch]
        values = np.concatenate([s["p" if stage == "stage2" else "features"] for s in said])
        np.testing.assert_array_equal(mine[-1], values.astype(np.float32))
        if stage == "stage1":
            boxes = [scale_boxes(s["boxes"], (batch[0][0],) * 2, (16, 16)) for s in said]
            numbers = np.repeat([0, 1, 2], [len(b) for b in boxes])[:, None]
            rois = np.concatenate([numbers, np.concatenate(boxes)], axis=1)
            np.testing.assert_array_equal(mine[2], rois.astype(np.float32))
    assert len({len(mine[-1]) for mine in got}) > 1 or stage == "stage2"


def test_boxes_are_in_the_students_frame_by_hand(made):
    layer, top = cached(made, scales=[24], student_side=48, shuffle=False, mirror=False)
    rois = run(layer, top, 1)[0][2]
    assert rois[:, 0].tolist() == [0, 1, 1, 2, 2, 2]
    np.testing.assert_array_equal(rois[0], [0, 0, 2, 15, 19, 0.5])
    np.testing.assert_array_equal(rois[2], [1, 2, 4, 17, 21, 0.625])


def test_shapes_fit_before_the_first_batch_and_no_batch_is_taken(made):
    layer, top = cached(made)
    for _ in range(3):
        layer.reshape([], top)
    assert layer.planned == 0
    rows = top[2].data.shape[0]
    assert [blob.data.shape[1:] for blob in top[1:]] == [(3,), (6,), (7,)]
    assert top[3].data.shape[0] == rows == len(run(layer, top, 1)[0][3])


@pytest.mark.parametrize("options", [{"workers": 1}, {"workers": 4}, {"start": 4}])
def test_batches_do_not_depend_on_workers_or_an_earlier_start(made, options):
    wanted = run(*cached(made), 8)[options.get("start", 0) :]
    got = run(*cached(made, **options), len(wanted))
    for batch, same in zip(wanted, got, strict=True):
        for blob, value in zip(batch, same, strict=True):
            np.testing.assert_array_equal(blob, value)


def test_half_is_read_as_single(made, tmp_path):
    path = make_cache(tmp_path / "h.arr", made[0], "stage1", half=True)
    whole, half = run(*cached(made), 4), run(*cached(made, cache=str(path)), 4)
    for mine, other in zip(half, whole, strict=True):
        np.testing.assert_array_equal(mine[2], other[2])
        np.testing.assert_allclose(mine[3], other[3], rtol=2**-11)


def test_inside_a_net(made, tmp_path):
    source, caches = made
    options = {"source": str(source), "cache": str(caches["stage1"]), **COMMON, "student_side": 16}
    text = (
        'layer { name: "data" type: "Python" top: "data" top: "label" top: "rois_student" '
        'top: "teacher_features" python_param { module: "python_layers.cached_teacher_data" '
        f"layer: \"CachedTeacherData\" param_str: '{json.dumps(options)}' }} }}"
        'layer { name: "loss" type: "FeatureL2Loss" bottom: "teacher_features" '
        'bottom: "teacher_features" bottom: "rois_student" top: "loss" }'
    )
    (tmp_path / "net.prototxt").write_text(text)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    for batch in run(*cached(made), 5):
        net.forward()
        for name, values in zip(
            ("data", "label", "rois_student", "teacher_features"), batch, strict=True
        ):
            np.testing.assert_array_equal(net.blobs[name].data, values)


def changed_proposals(folder):
    path = folder / "set" / "proposals.arr"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def changed_images(folder):
    make_set(folder, suffix=".bmp")


def no_proposals(folder):
    (folder / "set" / "proposals.arr").unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            changed_proposals,
            "changed since it was made: the proposals; make it again: make it",
        ),
        (changed_images, "since it was made: the proposals, the image list; make it again"),
        (no_proposals, r"proposals\.arr: no such file; run: python data/make_proposals\.py"),
    ],
)
def test_a_cache_of_another_set_is_refused(tmp_path, change, message):
    source, *_ = make_set(tmp_path)
    caches = {"stage1": make_cache(tmp_path / "c.arr", source, "stage1")}
    change(tmp_path)
    with pytest.raises(DataError, match=message):
        cached((source, caches))


def test_an_incomplete_cache_is_refused(made, tmp_path):
    source, _ = made
    path = tmp_path / "c.arr"
    meta = {"fingerprint": teacher_cache.fingerprint(PreparedSet(source)), "command": "make it"}
    teacher_cache.create(path, STAGES["stage2"], VARIANTS, IMAGES, meta)
    with pytest.raises(DataError, match=r"c\.arr: 28 of 28 entries are missing; go on: make it"):
        cached((source, {"stage2": path}), "stage2")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cache": "nowhere.arr"}, r"nowhere\.arr: no such cache; make it: python tools/cache_te"),
        ({"cache": 5}, "expected the path of a cache and an integer student_side, got .*5"),
        ({"student_side": 0}, "student_side: expected an integer >= 1, got 0"),
        ({"student_side": 1.5}, "an integer student_side, got .*1.5"),
        ({"scales": [24, 56]}, "expected images of side 56, got 24, 24 mirrored, 40, 40 mirrored"),
        ({"boxes": 6}, "CachedTeacherData: param_str: boxes: expected one of the keys"),
        ({"on_error": "skip"}, "CachedTeacherData: param_str: on_error: expected one of the keys"),
        ({"batch_size": 0}, "batch_size: expected an integer >= 1, got 0"),
        ({"tops": 3}, "expected the 4 tops data, label, rois_student, teacher_features, got 3"),
        ({"stage": "stage2", "tops": 4}, "the 3 tops data, label, teacher_p, got 4"),
    ],
)
def test_bad_options_are_named(made, options, message):
    with pytest.raises(DataError, match=message):
        cached(made, **options)


def test_a_missing_cache_option_is_named(made):
    with pytest.raises(DataError, match="CachedTeacherData: param_str: cache: expected a value"):
        make_layer(CachedTeacherData, 3, source=str(made[0]), **COMMON)
