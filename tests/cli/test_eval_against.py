"""`charloom eval A --against B`."""

import json
import shutil


def test_two_models_on_the_same_text(quick, trained, tmp_path):
    shutil.copy(trained.parent / "verse.txt", tmp_path)
    options = "--steps 1 --hidden 16 --documents line --fractions 90/0/10 --out worse"
    assert quick("train", "verse.txt", *options.split()).code == 0
    found = quick("eval", trained, "--against", "worse", "--json")
    record = json.loads(found.out)["against"]
    assert record["names"] == [str(trained), "worse"]
    assert record["better"] == str(trained)
    assert record["difference"] < 0
    told = quick("eval", "worse", "--against", trained, "--limit", 500).out.splitlines()[-1]
    assert told.startswith(f"{trained} is better than worse by ")
    same = quick("eval", trained, "--against", trained).out.splitlines()[-1]
    assert "cannot be told apart" in same
    assert quick("eval", trained, "--against", "nowhere").code == 1
