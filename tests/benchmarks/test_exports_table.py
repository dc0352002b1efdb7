"""The table of several exports, worked out by hand."""

import json
import sys

from tests.benchmarks import exports_table


def report(clips: int, before: float, files: list[tuple]) -> dict:
    return {
        "num_test_clips": clips,
        "before": {"fine": {"accuracy": before}, "coarse": {"accuracy": 0.0}},
        "files": [
            {"path": "serving/1", "weights": "float32", "num_bytes": 9, "proof": {}},
            *(
                {
                    "path": f"a-{weights}.tflite",
                    "weights": weights,
                    "num_bytes": size,
                    "proof": {"max_difference": difference},
                    "figures": {"fine": {"accuracy": after}},
                    "milliseconds": {"1": time, "2": 0.0},
                }
                for weights, size, difference, after, time in files
            ),
        ],
    }


def test_runs_are_weighed_by_their_clips_and_times_are_ratios(
    tmp_path, monkeypatch, capsys
):
    plain = [
        ("float32", 4_000_000, 1e-7, 0.5, 10.0),
        ("float32", 4_000_000, 2e-7, 0.9, 20.0),
    ]
    small = [("int8", 1_000_000, 0.02, 0.4, 5.0), ("int8", 1_200_000, 0.01, 0.9, 16.0)]
    for place, (clips, before) in enumerate([(10, 0.5), (30, 0.9)]):
        folder = tmp_path / f"fold{place}"
        folder.mkdir()
        found = report(clips, before, [plain[place], small[place]])
        (folder / "export.json").write_text(json.dumps(found))
    folders = [str(tmp_path / "fold0"), str(tmp_path / "fold1")]
    monkeypatch.setattr(sys, "argv", ["exports_table.py", *folders])
    exports_table.main()
    assert capsys.readouterr().out.splitlines()[0] == "2 runs, 40 test clips, accuracy"
    rows = exports_table.rows(
        [
            json.loads((tmp_path / f"fold{n}" / "export.json").read_text())
            for n in (0, 1)
        ],
        "accuracy",
        "1",
    )
    assert rows == [
        ("float32", "4.00", "100 %", "2.0e-07", "80.0", "80.0", "+0.0", "1.00"),
        ("int8", "1.10", "28 %", "2.0e-02", "80.0", "77.5", "-2.5", "0.65"),
    ]
