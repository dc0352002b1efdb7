"""What the commands print."""

import errno
import io
import math
import os

import pytest

from tfhier import console
from tfhier.errors import InputError


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.8599, "86.0"), (0.0, "0.0"), (1.0, "100.0"), (None, "-"), (math.nan, "-")],
)
def test_percent(value, expected):
    assert console.percent(value) == expected


def test_percent_with_std():
    figure = {"mean": 0.5, "std": 0.0125}
    assert console.percent_with_std(figure) == "50.0 +- 1.2"
    assert console.percent_with_std({"mean": 0.5, "std": None}) == "50.0"
    assert console.percent_with_std({"mean": None, "std": None}) == "-"


def test_interval():
    figure = {"mean": 0.011, "low": -0.002, "high": 0.02}
    assert console.interval(figure) == "+1.1 [-0.2, +2.0]"
    assert console.interval({"mean": -0.011, "low": None, "high": None}) == "-1.1"
    assert console.interval(figure | {"low": math.nan}) == "+1.1"


@pytest.mark.parametrize("undefined", [None, math.nan])
def test_an_undefined_difference_is_a_dash(undefined):
    figure = {"mean": undefined, "low": undefined, "high": undefined}
    assert console.interval(figure) == "-"


def test_tables_are_aligned():
    lines = console.table(["name", "x"], [["a", "10.5"], ["longer", ""]]).split("\n")
    assert lines == ["name       x", "a       10.5", "longer"]


def test_lines_have_a_column_for_the_topic(capsys):
    console.line("data", "some")
    console.line("", "more")
    assert capsys.readouterr().out == "data     some\n         more\n"


def opened(error=None):
    """Return the exit status of a command that raises an error."""

    def work():
        if error is not None:
            raise error

    return console.door("run.py", work)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("no such thing"), "run.py: no such thing"),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/file"),
            "run.py: /a/file: No space left on device. What is finished is kept: "
            "mend this and give the same command again.",
        ),
    ],
)
def test_what_a_user_can_mend_is_one_line_on_standard_error(capsys, error, line):
    assert opened(error) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", line + "\n")


def test_what_a_terminal_cannot_show_ends_nothing(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="cp1252", write_through=True)
    monkeypatch.setattr("sys.stdout", terminal)
    assert console.door("tfhier", lambda: print("\u0142 é \udce9")) == 0
    assert terminal.buffer.getvalue() == b"\\u0142 \xe9 \\udce9\n"


def test_success_and_an_interruption_have_their_own_status(capsys):
    assert opened() == 0
    assert opened(KeyboardInterrupt()) == 130
    printed = capsys.readouterr()
    assert printed.err.strip() == "run.py: stopped; the same command goes on here"


def test_a_fault_of_the_library_keeps_its_traceback():
    with pytest.raises(ValueError, match="ours"):
        opened(ValueError("ours"))


def test_native_messages_are_silenced_unless_loading_fails(capfd):
    with console.without_native_messages():
        os.write(2, b"a greeting\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
    with pytest.raises(ImportError), console.without_native_messages():
        os.write(2, b"why it failed\n")
        raise ImportError
    assert capfd.readouterr().err == "why it failed\n"


def make_bar(num_epochs=20):
    return console.TrainingBar(
        "seed 3", num_epochs=num_epochs, steps_per_epoch=2, levels=["fine", "coarse"]
    )


def row_of(epoch):
    return {"epoch": epoch, "loss": 0.25, "val_fine_mAP": 0.5, "val_coarse_mAP": None}


def test_without_a_terminal_every_tenth_of_the_epochs_is_a_line(capsys):
    bar = make_bar()
    bar.begin(0)
    for epoch in range(20):
        bar.step(epoch, 0.5)
        bar.step(epoch, 0.5)
        bar.epoch(row_of(epoch))
    bar.close()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert " ".join(lines[0].split()) == (
        "seed 3 epoch 2/20 loss 0.250 validation: fine mAP 50.0 coarse mAP -"
    )
    assert "epoch 20/20" in lines[-1]


def test_going_on_is_said(capsys):
    bar = make_bar()
    bar.begin(7)
    bar.close()
    printed = capsys.readouterr()
    assert "seed 3: going on after epoch 7" in printed.out + printed.err
