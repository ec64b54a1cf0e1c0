"""upgrade_solver_proto_text: what it writes, says and returns."""

import pytest

from caffe.commands import upgrade_solver_proto_text


def upgrade(tmp_path, text):
    old, new = tmp_path / "old.prototxt", tmp_path / "new.prototxt"
    old.write_text(text)
    code = upgrade_solver_proto_text.main([str(old), str(new)])
    return code, new.read_text() if new.exists() else None


@pytest.mark.parametrize("kind", ["solver_type: RMSPROP", 'type: "RMSProp"'])
def test_solvers_of_any_age_are_written_in_the_current_form(tmp_path, capfd, kind):
    code, text = upgrade(tmp_path, f"base_lr: 0.01 {kind} rms_decay: 0.98")
    assert (code, text) == (0, 'base_lr: 0.01\nrms_decay: 0.98\ntype: "RMSProp"\n')
    log = capfd.readouterr().err
    assert f"Wrote upgraded SolverParameter text proto to {tmp_path}/new.prototxt" in log
    assert ("File already in latest proto format" in log) == kind.startswith("type")


def test_mistakes_name_the_file_and_leave_no_new_one(tmp_path, capfd):
    assert upgrade(tmp_path, 'type: "SGD" solver_type: SGD') == (1, None)
    assert "old.prototxt: give type or the old solver_type, not both" in capfd.readouterr().err
    assert upgrade(tmp_path, "solver_type: ADAMW") == (1, None)
    assert "did you mean ADAM? expected one of SGD, NESTEROV" in capfd.readouterr().err
