"""Proposals of others, in three formats, into a prepared set; and what can be wrong with them."""

import json

import h5py
import import_proposals
import make_proposals
import numpy as np
import pytest
import scipy.io

from python_layers.array_file import DataError
from python_layers.boxes import scale_boxes
from python_layers.prepared_set import PreparedSet
from tests.prepared_sets import SIZES, make_set, random_boxes

COUNTS = (4, 2, 7, 0, 5, 6, 1)
LIMIT = 5


@pytest.fixture
def foreign(tmp_path):
    """(folder of a set, boxes (n,5) per image in no order of scores)."""
    folder, *_ = make_set(tmp_path)
    rng = np.random.default_rng(9)
    return folder, [random_boxes(rng, n, *size) for n, size in zip(COUNTS, SIZES, strict=True)]


def import_file(folder, path, *words):
    make_proposals.main(["--set", str(folder), "--import", str(path), "--boxes", "5", *words])
    return PreparedSet(folder)


def check(prepared, boxes, rtol=0):
    for index, found in enumerate(boxes):
        wanted = found[np.argsort(-found[:, 4], kind="stable")][:LIMIT]
        np.testing.assert_allclose(prepared.proposals(index, LIMIT), wanted, rtol=rtol, atol=rtol)


def cells(values):
    array = np.empty((1, len(values)), object)
    array[0] = values
    return array


def mat_parts(boxes, base=1):
    """Names, y1 x1 y2 x2 counted from `base`, scores; in another order than the set's."""
    order = [6, 2, 0, 5, 1, 3, 4]
    names = [str(n) for n in order]
    corners = [boxes[n][:, [1, 0, 3, 2]].astype(np.float64) + base for n in order]
    return names, corners, [boxes[n][:, 4:].astype(np.float32) for n in order]


def write_mat(path, boxes, base=1, **more):
    names, corners, scores = mat_parts(boxes, base)
    parts = {"images": cells(names), "boxes": cells(corners), "boxScores": cells(scores)} | more
    scipy.io.savemat(path, {name: part for name, part in parts.items() if part is not None})


def write_hdf_mat(path, boxes):
    """As MATLAB writes version 7.3: cells are references, arrays transposed, texts numbers."""
    names, corners, scores = mat_parts(boxes)
    texts = [np.array([[ord(c)] for c in name], np.uint16) for name in names]
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in (("images", texts), ("boxes", corners), ("boxScores", scores)):
            references = []
            for number, value in enumerate(values):
                content = value if name == "images" else value.T
                empty = not value.size
                content = np.array(value.shape, np.uint64) if empty else content
                item = file.create_dataset(f"#refs#/{name}{number}", data=content)
                item.attrs["MATLAB_class"] = np.bytes_("char" if name == "images" else "double")
                if empty:
                    item.attrs["MATLAB_empty"] = np.uint8(1)
                references.append(item.ref)
            data = np.array(references, h5py.ref_dtype).reshape(-1, 1)
            file.create_dataset(name, data=data, dtype=h5py.ref_dtype)
    with open(path, "r+b") as file:  # the header by which scipy knows the version
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def results(boxes, ids):
    """COCO results, those of an image not together."""
    entries = [
        {
            "image_id": ids[index],
            "category_id": 1,
            "bbox": [float(x1), float(y1), float(x2 - x1 + 1), float(y2 - y1 + 1)],
            "score": float(score),
        }
        for index, found in enumerate(boxes)
        for x1, y1, x2, y2, score in found
    ]
    return [entries[n] for n in np.random.default_rng(1).permutation(len(entries))]


@pytest.mark.parametrize("write", [write_mat, write_hdf_mat])
def test_mat_files_of_either_version(foreign, tmp_path, write, capsys):
    folder, boxes = foreign
    write(tmp_path / "b.mat", boxes)
    check(import_file(folder, tmp_path / "b.mat"), boxes)
    import_file(folder, tmp_path / "b.mat")
    assert capsys.readouterr().out.splitlines() == [
        f"{folder}: proposals made",
        f"{folder}: proposals already made with these settings",
    ]


def test_mat_files_that_count_from_zero_or_have_no_scores(foreign, tmp_path):
    folder, boxes = foreign
    write_mat(tmp_path / "b.mat", boxes, base=0)
    check(import_file(folder, tmp_path / "b.mat", "--mat-base", "0"), boxes)
    write_mat(tmp_path / "c.mat", boxes, boxScores=None)
    with pytest.raises(DataError, match=r"c\.mat: 'boxScores': expected a score .* --score one"):
        import_file(folder, tmp_path / "c.mat")
    prepared = import_file(folder, tmp_path / "c.mat", "--score", "one")
    assert not prepared.has_scores()
    wanted = np.concatenate([boxes[0][:, :4], np.ones((4, 1))], axis=1)
    np.testing.assert_array_equal(prepared.proposals(0, LIMIT), wanted)


def test_coco_results_by_number_name_and_annotations(foreign, tmp_path, monkeypatch):
    monkeypatch.setattr(import_proposals, "CHUNK", 300)
    folder, boxes = foreign
    path = tmp_path / "r.json"
    for ids in (range(7), [f"{n}.png" for n in range(7)], [str(n) for n in range(7)]):
        path.write_text(json.dumps(results(boxes, ids), indent=1))
        check(import_file(folder, path, "--allow-missing"), boxes, rtol=1e-5)
    ids = [700 - n for n in range(7)]
    path.write_text(json.dumps(results(boxes, ids)))
    images = [{"id": i, "file_name": f"{n}.png"} for n, i in enumerate(ids)]
    (tmp_path / "instances.json").write_text(json.dumps({"images": images}))
    words = ["--annotations", str(tmp_path / "instances.json"), "--allow-missing"]
    check(import_file(folder, path, *words), boxes, rtol=1e-5)
    with pytest.raises(DataError, match=r"image 3\.png: expected its boxes, got none .*--allow-mi"):
        import_file(folder, path, *words[:2])


def test_of_very_many_results_the_best_are_kept(foreign, tmp_path):
    folder, _ = foreign
    rng = np.random.default_rng(2)
    boxes = [random_boxes(rng, 40, *size) for size in SIZES]
    (tmp_path / "r.json").write_text(json.dumps(results(boxes, range(7))))
    check(import_file(folder, tmp_path / "r.json"), boxes, rtol=1e-5)


@pytest.mark.parametrize("frame", [None, (48, 64)])
def test_released_lists_in_another_order(foreign, tmp_path, capsys, frame):
    folder, boxes = foreign
    lines = []
    for number in (3, 1, 0, 2, 6, 5, 4):
        found = boxes[number]
        found = scale_boxes(found, SIZES[number], frame) if frame else found
        columns = " ".join(f"{value:.9g}" for value in found.ravel())
        lines.append(f"/theirs/{number}.png 0 0 1 {columns}\n")
    (tmp_path / "list.txt").write_text("\n".join(lines))
    words = ["--frame", "48x64"] if frame else []
    check(import_file(folder, tmp_path / "list.txt", *words), boxes, rtol=1e-4 if frame else 0)
    import_file(folder, tmp_path / "list.txt", *words)
    assert "already made with these settings" in capsys.readouterr().out


def damaged(entry, **values):
    """COCO results with one damaged entry among good ones."""
    good = {"image_id": 0, "bbox": [1, 2, 3, 4], "score": 0.5}
    bad = {k: v for k, v in {**good, **values}.items() if v is not None}
    return json.dumps([good, bad if entry is None else entry, good])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (damaged(None, score=None), r"r\.json: result 2: expected a score for each box, got none"),
        (damaged(None, bbox=[1, 2, 3]), r"r\.json: result 2: expected image_id, bbox of four"),
        (damaged(None, bbox=[1, "2", 3, 4]), r"result 2: expected image_id, bbox of four numbers"),
        (damaged(7), "result 2: expected image_id, bbox of four numbers and score, got 7"),
        (
            damaged(None, bbox=[1, 2, 30, 4]),
            r"r\.json: image 0\.png: .* inside 23x17, got 1 2 30 5",
        ),
        (damaged(None, score=float("nan")), r"image 0\.png: expected a box .* got 1 2 3 5 nan"),
        (damaged(None)[:-30], r"expected COCO results, got: .* is the file cut short\?"),
        ('{"annotations": []}', r"r\.json: expected COCO results, a JSON list"),
    ],
)
def test_bad_results_are_named(foreign, tmp_path, text, message):
    folder, _ = foreign
    before = (folder / "proposals.arr").read_bytes()
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(DataError, match=message):
        import_file(folder, tmp_path / "r.json", "--allow-missing")
    assert (folder / "proposals.arr").read_bytes() == before


def test_bad_mat_files_are_named(foreign, tmp_path):
    folder, boxes = foreign
    path = tmp_path / "b.mat"
    scipy.io.savemat(path, {"boxes": cells(mat_parts(boxes)[1])})
    with pytest.raises(DataError, match=r"b\.mat: expected cells 'images' and 'boxes', got \['box"):
        import_file(folder, path)
    write_mat(path, boxes, images=cells(["1", "2"]))
    with pytest.raises(DataError, match="expected as many boxes and scores as images"):
        import_file(folder, path)
    write_mat(path, boxes, boxScores=cells([np.ones(3)] * 7))
    with pytest.raises(DataError, match=r"image 0\.png: expected 4 boxScores, got 3"):
        import_file(folder, path)
    write_mat(path, boxes, base=3)
    with pytest.raises(DataError, match=r"b\.mat: image \d\.png: expected a box inside"):
        import_file(folder, path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match=r"b\.mat: expected a \.mat, got: .*; fetch it again"):
        import_file(folder, path)
    write_hdf_mat(path, boxes)
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(DataError, match=r"b\.mat: expected a \.mat, got: .*; fetch it again"):
        import_file(folder, path)
    with pytest.raises(DataError, match=r"none\.mat: no such file: expected proposals to import"):
        import_file(folder, tmp_path / "none.mat")


def test_bad_lines_of_a_list_are_named(foreign, tmp_path):
    folder, _ = foreign
    path = tmp_path / "list.txt"
    for line, message in (
        ("0.png 0 1 0 1 2 3 4", r"list\.txt:2: expected a path, 3 labels and 5 columns per box"),
        ("0.png 0 1 0 1 2 3 64 1", r"list\.txt:2: box 1: expected 0 <= x1 <= x2 <= 47"),
    ):
        path.write_text(f"\n{line}\n")
        with pytest.raises(DataError, match=message):
            import_file(folder, path, "--allow-missing", "--frame", "48x64")
