"""Read a Python layer's `param_str`, where it is a JSON object."""

import json

from python_layers.array_file import DataError


def read_param_str(layer, text, **defaults):
    """The values of the JSON object `text`, as a dict with the keys of `defaults`, in their order.

    An empty text is an empty object; a default of None marks a key that must be given. Raises
    DataError naming the layer and the key: no JSON object, an unknown or a missing key.
    """
    try:
        given = json.loads(text or "{}")
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise DataError(f"{layer}: param_str: expected a JSON object, got {text!r}")
    for key, value in given.items():
        if key not in defaults:
            raise DataError(
                f"{layer}: param_str: {key}: expected one of the keys {sorted(defaults)}, "
                f"got {value!r}"
            )
    for key, value in defaults.items():
        if value is None and key not in given:
            raise DataError(f"{layer}: param_str: {key}: expected a value, got none; add the key")
    return {**defaults, **given}
