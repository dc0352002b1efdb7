"""What README.md says is so: its Python runs, its experiments and links exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tfhier import experiment

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


def test_its_python_runs_from_top_to_bottom():
    assert BLOCKS
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", "\n".join(BLOCKS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_its_experiments_exist():
    found = experiment.find(ROOT / "experiments")
    mentioned = set(re.findall(r"\b(?:openmic|features)_[a-z*][a-z_]*", TEXT))
    assert "openmic_resatt" in mentioned
    experiment.match(sorted(mentioned), found)


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", TEXT))
def test_its_links_lead_somewhere(target):
    assert target.startswith("https://") or (ROOT / target).exists()
