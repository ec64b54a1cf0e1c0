"""The one exception that a user's mistake raises; tools print it as a line and exit with 1."""


class CaffeError(RuntimeError):
    """A net, solver, weights file, list or call that cannot work, said in one line.

    The text names the file and line or the layer, what was expected, what was found and the remedy.
    """
