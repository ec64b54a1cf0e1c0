"""Window files: images and windows; errors that name the line."""

import numpy as np
import pytest

import caffe
from caffe.data import window_file

TEXT = """# 0
a b.jpg
3
375
500
2
15 0.75 10 20 30 40
0 0.1 0 0 9 9

# 1
c.jpg
3
7
5
0
# 2
d.jpg
3
11
13
1
3 1 -2 0 12 10
"""


def test_images_and_windows(tmp_path):
    (tmp_path / "w.txt").write_text(TEXT, encoding="utf-8")
    windows = window_file.read(tmp_path / "w.txt")
    assert windows.images == ["a b.jpg", "c.jpg", "d.jpg"]
    np.testing.assert_array_equal(windows.owners, [0, 0, 2])
    np.testing.assert_array_equal(windows.classes, [15, 0, 3])
    np.testing.assert_array_equal(windows.overlaps, np.array([0.75, 0.1, 1], np.float32))
    np.testing.assert_array_equal(windows.boxes, [[10, 20, 30, 40], [0, 0, 9, 9], [-2, 0, 12, 10]])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("# 1", "# 2", 'w.txt:10: expected "# 1", the next image\'s index, got "# 2"'),
        ("# 0", "0", 'w.txt:1: expected "# 0"'),
        ("a b.jpg\n3", "a b.jpg\n1", "w.txt:3: expected 3 channels"),
        ("375", "3.5", 'w.txt:4: expected the image\'s height, got "3.5"'),
        ("500\n2", "500\nx", 'w.txt:6: expected the number of windows, got "x"'),
        ("500\n2", "500\n" + "9" * 30, "w.txt:6: expected the number of windows"),
        ("500\n2", "500\n3", "w.txt: windows from line 7 on: .*"),
        ("13\n1", "13\n2", 'w.txt:22: expected 2 windows from line 22 on, got "the end of the'),
        ("0.75", "much", "w.txt: windows from line 7 on: .*much.*"),
        ("3 1 -2 0 12 10", "3 1 -2 0 12", "w.txt:22: expected class overlap x1 y1 x2 y2, six"),
        ("0.75", "nan", "w.txt:8: expected class overlap"),
        (TEXT, "\n", "w.txt: expected images with windows, the file has none"),
        ("d.jpg\n3\n11\n13\n1\n3 1 -2 0 12 10\n", "d.jpg", 'w.txt:17: .*got "the end of the file"'),
    ],
)
def test_names_the_line(tmp_path, old, new, message):
    assert old in TEXT
    (tmp_path / "w.txt").write_text(TEXT.replace(old, new), encoding="utf-8")
    with pytest.raises(caffe.CaffeError, match=message):
        window_file.read(tmp_path / "w.txt")


def test_names_the_file(tmp_path):
    with pytest.raises(caffe.CaffeError, match=r"none.txt: cannot read: No such file"):
        window_file.read(tmp_path / "none.txt")
    (tmp_path / "w.txt").write_bytes(b"# 0\n\xff\n")
    with pytest.raises(caffe.CaffeError, match=r"w.txt: expected text in UTF-8"):
        window_file.read(tmp_path / "w.txt")
