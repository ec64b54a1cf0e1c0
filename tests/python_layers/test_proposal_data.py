"""ProposalData: pixels, labels and boxes of each batch; its order; its messages."""

import concurrent.futures
import json
import threading
import weakref

import cv2
import numpy as np
import pytest
from prepared import write_proposals

import caffe
from python_layers.array_file import DataError, read_arrays
from python_layers.prepared_set import PreparedSet
from python_layers.proposal_data import ProposalData
from tests.prepared_sets import SIZES, make_set

MEAN = [103.52, 116.28, 123.675]


class Top:
    """What a Python layer uses of a blob."""

    def reshape(self, *shape):
        self.data = np.full(shape, np.nan, np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_set(tmp_path_factory.mktemp("data"))


def make_layer(source, tops=4, **options):
    layer = ProposalData()
    given = {"source": str(source), "batch_size": 3, "boxes": 5, "scales": [40], **options}
    layer.param_str = json.dumps(given)
    top = [Top() for _ in range(tops)]
    layer.setup([], top)
    return layer, top


def run(layer, top, batches):
    """The tops' values of the next mini-batches."""
    values = []
    for _ in range(batches):
        layer.reshape([], top)
        layer.forward([], top)
        values.append([blob.data.copy() for blob in top])
    return values


def pixels(source, index, side):
    image = cv2.imread(str(PreparedSet(source).image_path(index)))
    return cv2.resize(image, (side, side)).astype(np.float32) - np.float32(MEAN)


def test_batches_in_list_order_wrap_around(made):
    source, boxes, labels, _ = made
    batches = run(*make_layer(source), 5)
    for number, (data, label, rois, mask) in enumerate(batches):
        shapes = [blob.shape for blob in (data, label, rois, mask)]
        assert shapes == [(3, 3, 40, 40), (3, 3), (15, 6), (3, 5)]
        for row in range(3):
            index = (3 * number + row) % 7
            wanted = pixels(source, index, 40).transpose(2, 0, 1)
            np.testing.assert_array_equal(data[row], wanted)
            np.testing.assert_array_equal(label[row], labels[index])
            region = rois[5 * row : 5 * row + 5]
            assert (region[:, 0] == row).all()
            real = boxes[index][:5]
            if len(real):
                width, height = SIZES[index]
                sx, sy = 40 / width, 40 / height
                x1, y1, x2, y2, score = real.T
                corners = [x1 * sx, y1 * sy, (x2 + 1) * sx - 1, (y2 + 1) * sy - 1, score]
                np.testing.assert_allclose(region[: len(real), 1:], np.array(corners).T, rtol=1e-5)
            else:
                np.testing.assert_array_equal(region[0, 1:], [0, 0, 39, 39, 0])
            count = max(1, len(real))
            assert not region[count:, 1:].any()
            np.testing.assert_array_equal(mask[row], [0] * count + [-1e4] * (5 - count))


def test_mirrored_images_carry_mirrored_boxes(made):
    source, *_ = made
    plain = run(*make_layer(source), 6)
    flipped = run(*make_layer(source, mirror=True, seed=4), 6)
    mirrored = 0
    for (data, _, rois, mask), (data_m, _, rois_m, mask_m) in zip(plain, flipped, strict=True):
        np.testing.assert_array_equal(mask_m, mask)
        for row in range(3):
            part = slice(5 * row, 5 * row + 5)
            if np.array_equal(data_m[row], data[row]):
                np.testing.assert_array_equal(rois_m[part], rois[part])
                continue
            mirrored += 1
            np.testing.assert_array_equal(data_m[row], data[row][:, :, ::-1])
            real = mask[row] == 0
            before, after = rois[part][real], rois_m[part][real]
            np.testing.assert_allclose(after[:, 1], 39 - before[:, 3], atol=1e-5)
            np.testing.assert_allclose(after[:, 3], 39 - before[:, 1], atol=1e-5)
            np.testing.assert_array_equal(after[:, [0, 2, 4, 5]], before[:, [0, 2, 4, 5]])
            np.testing.assert_array_equal(rois_m[part][~real], rois[part][~real])
    assert 4 <= mirrored <= 14, "of 18 images about half"


def test_one_scale_per_batch_is_drawn(made):
    source, boxes, *_ = made
    sides = []
    for data, _, rois, mask in run(*make_layer(source, scales=[24, 56, 72]), 12):
        side = data.shape[2]
        assert data.shape == (3, 3, side, side)
        assert rois[mask.ravel() == 0][:, 1:5].max() <= side - 1
        sides.append(side)
    assert set(sides) == {24, 56, 72}
    assert len(boxes[2]) == 6


def identify(source, batch):
    """Which images a batch holds, by their pixels."""
    wanted = [pixels(source, index, 40).transpose(2, 0, 1) for index in range(7)]
    return [int(np.argmin([np.abs(image - w).max() for w in wanted])) for image in batch[0]]


def test_each_epoch_has_its_own_order_of_all_images(made):
    source, *_ = made
    batches = run(*make_layer(source, shuffle=True), 7)
    seen = [index for batch in batches for index in identify(source, batch)]
    epochs = [seen[start : start + 7] for start in (0, 7, 14)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    other = run(*make_layer(source, shuffle=True, seed=1), 2)
    assert [index for batch in other for index in identify(source, batch)] != epochs[0][:6]


def one_by_one(source, count, **options):
    """The mini-batches as `Batches.make` gives them, in this thread, the last one first."""
    batches = make_layer(source, **options)[0].batches
    numbers = range(count - 1, -1, -1)
    return [batches.make(batches.plan(n), batches.scale(n)) for n in numbers][::-1]


@pytest.mark.parametrize("options", [{"workers": 1}, {"workers": 2}, {"workers": 5}, {"start": 4}])
def test_batches_do_not_depend_on_workers_or_an_earlier_start(made, options):
    source, *_ = made
    common = {"shuffle": True, "mirror": True, "scales": [24, 41, 56], "seed": 9}
    wanted = one_by_one(source, 8, **common)[options.get("start", 0) :]
    got = run(*make_layer(source, **common, **options), len(wanted))
    for batch, same in zip(wanted, got, strict=True):
        for blob, value in zip(batch, same, strict=True):
            np.testing.assert_array_equal(blob, value)


@pytest.mark.parametrize("workers", [1, 3])
def test_at_most_workers_plus_one_batches_exist_and_reshape_makes_none(made, monkeypatch, workers):
    layer, top = make_layer(made[0], workers=workers)
    for _ in range(4):
        layer.reshape([], top)
    assert layer.planned == 0
    prepare, alive, most, lock = layer.batches.prepare, set(), [], threading.Lock()

    def watched(plan, side):
        batch = object()
        with lock:
            alive.add(batch)
            most.append(len(alive))
        pixels, *others = prepare(plan, side)
        weakref.finalize(pixels, alive.discard, batch)
        return pixels, *others

    monkeypatch.setattr(layer.batches, "prepare", watched)
    for number in range(9):
        run(layer, top, 1)
        concurrent.futures.wait(layer.pending)
        assert len(layer.pending) == len(alive) == workers
        assert layer.planned == number + 1 + workers
    assert workers <= max(most) <= workers + 1
    assert layer.pending[0].result()[0].dtype == np.uint8


def test_scores_of_one_and_fewer_tops(made):
    source, *_ = made
    _, _, rois, mask = run(*make_layer(source, score="one"), 1)[0]
    np.testing.assert_array_equal(rois[:, 5], mask.ravel() == 0)
    data, label = run(*make_layer(source, tops=2, boxes=0), 1)[0]
    assert data.shape == (3, 3, 40, 40)
    assert label.shape == (3, 3)


def test_two_tops_need_no_proposals(tmp_path):
    source, *_ = make_set(tmp_path)
    (source / "proposals.arr").unlink()
    run(*make_layer(source, tops=2), 1)
    with pytest.raises(DataError, match=r"proposals\.arr: no such file; run: python data/make"):
        make_layer(source, tops=3)


def test_unreadable_images_fail_or_are_replaced_by_the_next(tmp_path, caplog):
    source, *_ = make_set(tmp_path)
    (tmp_path / "images" / "1.png").write_bytes(b"x")
    layer, top = make_layer(source)
    with pytest.raises(DataError, match=r"images/1\.png: expected a whole JPEG or PNG"):
        run(layer, top, 1)
    batches = run(*make_layer(source, on_error="skip"), 2)
    assert [identify_present(source, batch) for batch in batches] == [[0, 2, 2], [3, 4, 5]]
    assert "1.png: expected a whole JPEG" in caplog.text
    for number in range(7):
        (tmp_path / "images" / f"{number}.png").unlink(missing_ok=True)
    layer, top = make_layer(source, on_error="skip")
    with pytest.raises(DataError, match="expected a readable image, got none"):
        run(layer, top, 1)


def test_an_image_damaged_in_mid_epoch_fails_in_its_batch_and_the_next_one_follows(tmp_path):
    source, *_ = make_set(tmp_path, suffix=".jpg")
    common = {"scales": [24, 41, 56], "seed": 9}
    wanted = one_by_one(source, 3, **common)
    path = tmp_path / "images" / "4.jpg"
    path.write_bytes(path.read_bytes()[:-40])
    layer, top = make_layer(source, workers=2, **common)
    got = run(layer, top, 1)
    with pytest.raises(
        DataError, match=r"images/4\.jpg: expected a whole JPEG or PNG image, got \d+"
    ):
        run(layer, top, 1)
    got += run(layer, top, 1)
    assert len({batch[0].shape for batch in wanted}) > 1
    for batch, same in zip([wanted[0], wanted[2]], got, strict=True):
        for blob, value in zip(batch, same, strict=True):
            np.testing.assert_array_equal(blob, value)


def identify_present(source, batch):
    names = [index for index in range(7) if index != 1]
    wanted = [pixels(source, index, 40).transpose(2, 0, 1) for index in names]
    return [names[int(np.argmin([np.abs(i - w).max() for w in wanted]))] for i in batch[0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected an integer >= 1, got 0"),
        ({"batch_size": True}, "batch_size: expected an integer >= 1, got True"),
        ({"boxes": 0}, "boxes: expected an integer >= 1, got 0"),
        ({"boxes": 7}, r"proposals\.arr: expected at least 7 boxes per image, got 6; run: .*"),
        ({"scales": 40}, r"scales: expected a list of sides in pixels, such as .*, got 40"),
        ({"scales": []}, "scales: expected a list"),
        ({"mirror": 1}, "mirror: expected true or false, got 1"),
        ({"score": "two"}, r"score: expected one of \('proposal', 'one'\), got 'two'"),
        ({"on_error": "stop"}, "on_error: expected one of"),
        ({"mean": [1, 2]}, r"mean: expected three numbers: blue, green, red, got \[1, 2\]"),
        ({"mean": [1, 2, "3"]}, r"mean: expected three numbers: blue, green, red, got \[1, 2, '3'"),
        ({"sacles": [40]}, r"sacles: expected one of the keys \['batch_size', .*got \[40\]"),
        ({"source": "nowhere"}, r"nowhere/set\.json: no such file: expected a prepared set"),
    ],
)
def test_bad_options_are_named(made, options, message):
    with pytest.raises(DataError, match=message):
        make_layer(**{"source": made[0], **options})


def test_bad_param_str_and_tops_are_named(made):
    layer = ProposalData()
    layer.param_str = "{'source': 1}"
    with pytest.raises(DataError, match=r"param_str: expected a JSON object, got .\{'so"):
        layer.setup([], [Top()])
    with pytest.raises(DataError, match="got 0 bottoms and 5 tops"):
        layer.setup([], [Top()] * 5)


def test_inside_a_net(made, tmp_path):
    source, _, labels, _ = made
    options = {"source": str(source), "batch_size": 2, "boxes": 4, "scales": [24, 56], "seed": 2}
    text = (
        'layer { name: "input" type: "Python" top: "data" top: "label" top: "rois" '
        'top: "roi_mask" python_param { module: "python_layers.proposal_data" '
        f"layer: \"ProposalData\" param_str: '{json.dumps(options)}' }} }}"
    )
    (tmp_path / "net.prototxt").write_text(text)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    wanted = run(*make_layer(**options), 4)
    for batch in wanted:
        net.forward()
        for name, values in zip(("data", "label", "rois", "roi_mask"), batch, strict=True):
            np.testing.assert_array_equal(net.blobs[name].data, values)
    assert {batch[0].shape[2] for batch in wanted} == {24, 56}
    np.testing.assert_array_equal(wanted[0][1], labels[:2])


def test_a_net_that_expects_scores_is_told_that_there_are_none(tmp_path):
    out, boxes, *_ = make_set(tmp_path)
    _, meta = read_arrays(out / "proposals.arr")
    for found in boxes:
        found[:, 4] = 1
    write_proposals(out / "proposals.arr", boxes, 6, meta)
    message = 'set: param_str: score: expected "one", since the proposals have no scores, got'
    with pytest.raises(DataError, match=f"{message} .* needs score_scale 1 and score_bias 0"):
        make_layer(out)
    make_layer(out, score="one")
    make_layer(out, tops=2)
