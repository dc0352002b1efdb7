"""The architecture holds: who may import whom, read from the sources themselves."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "tfhier"

# Top-level file or folder -> floor. What is not here has no place in the house yet.
FLOORS = {
    name: floor
    for floor, names in enumerate(
        (
            "audio sound_files containers spliced recordings mixing mel taxonomy "
            "taxonomy_table metrics thresholds experiment catalogue contract members "
            "golden model_paths network_digest errors files console plots events "
            "event_finder event_metrics event_tables recorder_names windows recipes "
            "fine_tuning",
            "data graph_audio layers frontends augment losses",
            "backbones heads tagger saved engines",
            "train pretrained runtime detect predict evaluate clip_table machine "
            "tables yardstick compare explain report export describe",
            "study serve review",
            "__main__ commands",
        )
    )
    for name in names.split()
}
# Who may import TensorFlow, whatever Keras computes with: the input (tf.data), the
# reader of TFLite files, whose schema is part of it, and what leaves the laboratory.
TENSORFLOW = {"data", "graph_audio", "pretrained", "engines", "export", "serve"}
# Floor 1 has two halves that are blind to each other: input, and blocks of networks.
INPUT = "data"
BLOCKS = {"layers", "frontends", "augment", "losses"}
BACKEND_FREE = ("layers", "backbones", "heads", "losses", "augment", "frontends")
POSIX = {
    *("fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty", "posix"),
    *("os.fork", "os.getuid", "os.killpg", "os.pread", "os.sched_getaffinity"),
    *("os.setsid", "os.statvfs", "os.uname", "signal.SIGKILL", "signal.alarm"),
}
HEAVY = ("tensorflow", "keras", "jax", "torch")


def sources() -> dict[str, ast.Module]:
    """Dotted name below `tfhier` -> syntax tree, for every file but `__init__`."""
    trees = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            trees[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return trees


SOURCES = sources()


def imported(tree: ast.Module) -> Iterator[str]:
    """Dotted names of everything that a file imports, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the floor they go to"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def attributes(tree: ast.Module) -> set[str]:
    """`name.attribute` wherever a file writes it."""
    return {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }


def top(name: str) -> str:
    return name.split(".")[0]


def is_folder(name: str) -> bool:
    return (PACKAGE / name).is_dir()


def objection(importer: str, target: str) -> str:
    """Why one top-level file or folder may not import another; "" if it may."""
    if importer == target:
        return ""
    if FLOORS[target] > FLOORS[importer]:
        return "upwards"
    if {importer, target} & {INPUT} and {importer, target} & BLOCKS:
        return "between the two halves of floor 1"
    same = FLOORS[target] == FLOORS[importer]
    if same and is_folder(importer) and is_folder(target):
        return "sideways between folders"
    return ""


@pytest.mark.parametrize(
    ("importer", "target", "expected"),
    [
        ("heads", "layers", ""),
        ("audio", "files", ""),
        ("tagger", "backbones", ""),
        ("tagger", "experiment", ""),
        ("layers", "layers", ""),
        ("layers", "heads", "upwards"),
        ("taxonomy", "data", "upwards"),
        ("train", "__main__", "upwards"),
        ("data", "layers", "between the two halves of floor 1"),
        ("losses", "data", "between the two halves of floor 1"),
    ],
)
def test_the_rule_itself(importer, target, expected):
    assert objection(importer, target) == expected


def test_every_file_has_a_floor():
    assert {top(name) for name in SOURCES} <= set(FLOORS)
    assert len(SOURCES) > 20


@pytest.mark.parametrize("name", SOURCES)
def test_imports_go_down(name):
    problems = []
    for target in imported(SOURCES[name]):
        package, _, rest = target.partition(".")
        if package != "tfhier" or top(rest) not in FLOORS:
            continue
        if reason := objection(top(name), top(rest)):
            problems.append(f"tfhier.{name} imports {target}: {reason}")
    assert not problems


@pytest.mark.parametrize("name", SOURCES)
def test_only_names_of_the_house_are_imported_from_it(name):
    for target in imported(SOURCES[name]):
        package, _, rest = target.partition(".")
        if package == "tfhier":
            assert top(rest) in {*FLOORS, "", "__version__", "load"}, (
                f"{name}: {target}"
            )


@pytest.mark.parametrize("name", SOURCES)
def test_tensorflow_is_imported_where_it_may_and_keras_never_by_the_input(name):
    packages = {top(target) for target in imported(SOURCES[name])}
    if top(name) not in TENSORFLOW:
        assert "tensorflow" not in packages
    if top(name) == INPUT or FLOORS[top(name)] == 0:
        assert "keras" not in packages
    if FLOORS[top(name)] == 0:
        assert not packages & set(HEAVY)


@pytest.mark.parametrize("name", [name for name in SOURCES if top(name) != "serve"])
def test_nothing_is_used_that_windows_lacks(name):
    """The server alone asks how many files a process may open."""
    used = {*imported(SOURCES[name]), *attributes(SOURCES[name])}
    assert not used & POSIX
    assert not {top(target) for target in used} & POSIX


@pytest.mark.parametrize(
    "name", [name for name in SOURCES if top(name) in BACKEND_FREE]
)
def test_blocks_run_on_any_backend_and_draw_from_keras_alone(name):
    tree = SOURCES[name]
    targets = list(imported(tree))
    assert not {top(target) for target in targets} & {"tensorflow", "jax", "torch"}
    assert "random" not in {top(target) for target in targets}
    assert not [target for target in targets if target.startswith("numpy.random")]
    assert not {"np.random", "numpy.random", "tf.random"} & attributes(tree)


def run(code: str) -> str:
    """Run code in a fresh interpreter beside the package."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def blocked(statements: str) -> str:
    """Code that runs statements where the heavy packages cannot be imported."""
    return f"""
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY}:
            raise ImportError("blocked: " + name)

sys.meta_path.insert(0, Refuse())
{statements}
"""


def test_floor_0_needs_neither_tensorflow_nor_keras():
    ground = [name for name in SOURCES if FLOORS[top(name)] == 0]
    assert "taxonomy" in ground
    run(blocked("\n".join(f"import tfhier.{name}" for name in ground)))


def test_blocking_works():
    with pytest.raises(AssertionError, match="blocked: keras"):
        run(blocked("import tfhier.heads"))


def test_importing_the_package_imports_nothing_heavy():
    output = run(
        "import sys, tfhier; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    )
    heavy = {*HEAVY, "numpy", "scipy", "sklearn", "matplotlib", "soundfile"}
    assert "tfhier" in output.split()
    assert not heavy & set(output.split())


@pytest.mark.parametrize("name", ["experiment", "errors", "files"])
def test_modules_that_every_door_needs_are_light(name):
    output = run(f"import sys, tfhier.{name}; print(*sys.modules)")
    packages = {top(module) for module in output.split()}
    assert not {*HEAVY, "scipy", "sklearn", "matplotlib"} & packages
