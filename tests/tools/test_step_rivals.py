"""The benchmark of distillation steps says what it lacks."""

import step_rivals


def test_says_that_there_is_no_demo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert step_rivals.calls("stage1") == "no out/demo: make demo first"
