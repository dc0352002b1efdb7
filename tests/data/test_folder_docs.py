"""What docs/data.md says of one's own recordings: its table is read as it says."""

import re
from pathlib import Path

import numpy as np

from tfhier import audio
from tfhier.data import folder as own

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
SECTION = re.search(r"## Your own recordings\n.*?(?=\n## )", TEXT, re.DOTALL).group()


def test_its_table_is_read_as_it_says(tmp_path):
    lines = re.search(r"\n\n((?:      .*\n)+)", SECTION).group(1)
    for number, name in enumerate(("rec1", "rec2", "rec3")):
        noise = np.random.default_rng(number).uniform(-0.5, 0.5, 20 * 1000)
        (tmp_path / "a").mkdir(exist_ok=True)
        audio.write(tmp_path / "a" / f"{name}.wav", noise, sample_rate=1000)
    table = re.sub(r"(?m)^ +", "", lines) + "a/rec3.wav,chimpanzee,4,5,dusk\n"
    (tmp_path / "calls.csv").write_text(table)
    clips = own.load(tmp_path / "calls.csv")
    assert clips.labels == ("chimpanzee", "mandrill", "rain")
    assert set(clips.groups.tolist()) == {"dawn", "dusk"}
    assert clips.spans.tolist()[:2] == [[12.5, 14.1], [0, 20]]
