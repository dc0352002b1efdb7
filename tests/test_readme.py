"""What README.md says is so: its Python runs, its experiments and links exist."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tfhier import __main__ as command_line
from tfhier import catalogue

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.fixture
def workplace(tmp_path):
    """A folder as the main job leaves it, with a tagger that learned nothing."""
    from tfhier import audio, files, saved, tagger
    from tfhier.contract import Contract
    from tfhier.taxonomy import Taxonomy

    run = tmp_path / "saved_models" / "openmic_resatt@embedded" / "seed0"
    run.mkdir(parents=True)
    taxonomy = Taxonomy.read("openmic")
    small = catalogue.find(ROOT / "experiments")["openmic_resatt"].profile("small")
    model = tagger.end_to_end(*tagger.build(small, taxonomy))
    fitted = {level: (0.5,) * size for level, size in taxonomy.sizes.items()}
    promised = Contract(taxonomy=taxonomy, sample_rate=16_000, thresholds=fitted)
    saved.write(run / "best.keras", model, promised)
    files.write_json(run.parent / "metrics.json", {"best_run": "seed0"})
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 48_000)
    audio.write(tmp_path / "my.wav", noise, sample_rate=48_000)
    return tmp_path


def test_its_python_runs_from_top_to_bottom(workplace):
    assert BLOCKS
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", "\n".join(BLOCKS)],
        cwd=workplace,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "(1, 20, 7)" in done.stdout


def test_its_experiments_exist():
    found = catalogue.find(ROOT / "experiments")
    tables = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    patterns = re.findall(r"--exp '?(\w*)(?:\{([\w,]+)\}|(\*?))'?", TEXT + tables)
    mentioned = {
        start + end
        for start, ends, star in patterns
        for end in (ends.split(",") if ends else [star])
    }
    assert {"openmic_resatt", "primates_cnn10_16k", "esc10_cnn10"} <= mentioned
    mentioned |= set(re.findall(r"`((?:openmic|features)_[a-z_]+)`", TEXT + tables))
    catalogue.match(sorted(mentioned), found)


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", TEXT))
def test_its_links_lead_somewhere(target):
    assert target.startswith("https://") or (ROOT / target).exists()


def commands() -> list[str]:
    """Every `tfhier ...` of the README's and the documents' blocks of commands."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    texts = [page.read_text(encoding="utf-8") for page in pages]
    lines = [
        line
        for text in texts
        for block in re.findall(r"(?m)^```\n(.*?)^```", text, flags=re.DOTALL)
        for line in block.splitlines()
    ]
    parts = [part for line in lines for part in re.split(r"&&|\||;", line)]
    found = [part.split("#")[0].strip() for part in parts]
    return [each for each in found if each.startswith("tfhier ")]


def test_there_are_commands_of_all_doors():
    named = {each.split()[1] for each in commands()}
    assert named >= {*command_line.COMMANDS} - {"prepare"}  # which stands in the text


@pytest.mark.parametrize("command", dict.fromkeys(commands()))
def test_its_commands_are_understood(command):
    """As they stand: no option or choice that the command line does not know."""
    _, *words = shlex.split(command)
    args, rest = command_line.parser().parse_known_args(words)
    assert args.command == words[0]
    assert not [word for word in rest if word.startswith("-")]
