"""The commands that people call by name, one per file: each a `main(argv=None) -> int`."""
