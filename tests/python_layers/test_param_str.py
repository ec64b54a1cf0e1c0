"""Options of Python layers: defaults, order, and a message for each mistake."""

import pytest

from python_layers.array_file import DataError
from python_layers.param_str import read_param_str


def test_defaults_are_filled_in_and_keep_their_order():
    options = read_param_str("L", '{"c": 7, "a": null}', a=None, b=2, c=3)
    assert list(options.items()) == [("a", None), ("b", 2), ("c", 7)]
    assert read_param_str("L", "", b=2) == {"b": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1", r"L: param_str: expected a JSON object, got '\[1'"),
        ("[]", r"L: param_str: expected a JSON object, got '\[\]'"),
        ('{"a": 1, "d": 4}', r"L: param_str: d: expected one of the keys \['a', 'b'\], got 4"),
        ('{"b": 1}', "L: param_str: a: expected a value, got none; add the key"),
    ],
)
def test_mistakes_are_named(text, message):
    with pytest.raises(DataError, match=message):
        read_param_str("L", text, a=None, b=2)
