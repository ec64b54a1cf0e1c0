"""Lines and cycle: places, blank lines, order; errors."""

from itertools import islice

import numpy as np
import pytest

import caffe
from caffe.data.image_list import Lines, cycle


def test_lines_know_their_place_and_skip_blanks(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes("a.jpg 1\r\n\n  \nbé.jpg 2 \nc.jpg 3".encode())
    lines = Lines(path)
    assert len(lines) == 3
    assert lines[1] == (f"{path}:4", "bé.jpg 2")
    assert [text for _, text in lines] == ["a.jpg 1", "bé.jpg 2", "c.jpg 3"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "list.txt: expected one image per line, the file is empty"),
        (b"\n \n", "list.txt: expected one image per line, all lines are blank"),
        (b"a\n\xff\xfe\n", "list.txt:2: expected text in UTF-8"),
        (None, "list.txt: cannot read: No such file"),
    ],
)
def test_names_the_file(tmp_path, content, message):
    path = tmp_path / "list.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(caffe.CaffeError, match=message):
        list(Lines(path))


def test_cycle_in_order_and_shuffled():
    rng = np.random.default_rng(0)
    assert list(islice(cycle(3, False, 0, rng), 7)) == [0, 1, 2, 0, 1, 2, 0]
    rounds = np.array(list(islice(cycle(9, True, 0, rng), 27))).reshape(3, 9)
    assert all(sorted(one) == list(range(9)) for one in rounds)
    assert len({tuple(one) for one in rounds}) == 3


def test_cycle_skips_only_in_the_first_round():
    seen = [list(islice(cycle(4, False, 3, np.random.default_rng(i)), 5)) for i in range(20)]
    assert {tuple(one) for one in seen} == {(0, 1, 2, 3, 0), (1, 2, 3, 0, 1), (2, 3, 0, 1, 2)}


def test_a_list_that_is_shortened_meanwhile_is_an_error(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("a.png 1\n" * 2000)
    lines = Lines(path)
    path.write_text("a.png 1\n")
    assert lines[0] == (f"{path}:1", "a.png 1")
    with pytest.raises(caffe.CaffeError, match=r"list\.txt:2000: the list was shortened"):
        lines[1999]
