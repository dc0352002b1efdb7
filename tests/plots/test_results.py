"""Plots: known numbers land where they belong, undefined ones nowhere."""

import io

import numpy as np
import pytest
from matplotlib.image import imread

from tfhier.plots import maps, results, style


def drawn(axes, gid, *, axis="x"):
    """Coordinates of all lines of a kind."""
    return [
        np.asarray(getattr(line, f"get_{axis}data")(), float).tolist()
        for line in axes.lines
        if line.get_gid() == gid
    ]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def same(found, expected):
    return np.allclose(np.ravel(found), np.ravel(expected))


GROUPS = {
    "base": {"mAP": [0.5, 0.6, 0.8], "f1": [0.1, None, 0.3]},
    "ours": {"mAP": [0.7, 0.9], "f1": [None, float("nan")]},
}


def test_box_plots_put_runs_medians_and_the_reference_where_they_are():
    left, right = results.box_plots(
        GROUPS, level="fine", metrics=("mAP", "f1"), reference="base"
    ).axes
    assert same(drawn(left, "runs")[0], [50, 60, 80])
    assert same(drawn(left, "runs")[1], [70, 90])
    assert same([line[0] for line in drawn(left, "median")], [60, 80])
    assert same(drawn(left, "reference"), [60, 60])
    assert [tick.get_text() for tick in left.get_yticklabels()] == ["base", "ours"]
    assert left.get_xlabel() == "fine mAP (%)"
    assert len(drawn(right, "runs")) == 1
    assert same(drawn(right, "runs")[0], [10, 30])


@pytest.mark.parametrize(("num_runs", "num_lines"), [(3, 0), (8, 5)])
def test_a_box_needs_four_runs(num_runs, num_lines):
    values = np.linspace(0.4, 0.5, num_runs)
    (panel,) = results.box_plots({"a": {"f1": values}}, level="x", metrics=("f1",)).axes
    others = [line for line in panel.lines if line.get_gid() is None]
    # A box, two whiskers, a hidden median, and the (absent) outliers.
    assert len(others) == num_lines
    assert same(drawn(panel, "median")[0], [45, 45])


def test_box_plots_without_a_reference_draw_no_line_for_it():
    (panel,) = results.box_plots(GROUPS, level="x", metrics=("mAP",)).axes
    assert not drawn(panel, "reference")


def attention_figure(**more):
    attention = np.array([[0.75, 0.05], [0.2, 0.05], [0.05, 0.9]])
    return maps.attention_map(
        attention,
        np.array([0.834, 0.1, 0.5]),
        np.array([0.66, 0.49]),
        fine_labels=("mallet_percussion", "drums", "voice"),
        coarse_labels=("percussion", "voice"),
        **more,
    )


def test_the_attention_map_holds_attention_scores_and_names():
    axes = attention_figure(title="clip $x").axes[0]
    picture = axes.images[0].get_array()
    assert np.allclose(picture, [[75, 5], [20, 5], [5, 90]])
    sides = [tick.get_text() for tick in axes.get_yticklabels()]
    assert sides == ["mallet percussion  83 %", "drums  10 %", "voice  50 %"]
    tops = [tick.get_text() for tick in axes.get_xticklabels()]
    assert tops == ["percussion\n66 %", "voice\n49 %"]
    assert texts(axes) == ["75", "20", "90"]


def test_observed_labels_are_marked_and_unobserved_ones_are_not():
    positive, negative = "\N{CHECK MARK}", "\N{BALLOT X}"
    axes = attention_figure(
        fine_labelling=(np.array([1, 0, 0]), np.array([True, False, True])),
        coarse_labelling=(np.array([1, 0]), np.array([False, True])),
        membership=np.array([[1, 0], [1, 0], [0, 1]], bool),
    ).axes[0]
    marks = [t for t in axes.texts if t.get_text() in (positive, negative)]
    assert [(m.get_text(), m.xy) for m in marks] == [
        (positive, (0, 0)),
        (negative, (0, 2)),
        (negative, (1, 1)),
    ]
    frames = [(p.get_x() + 0.46, p.get_y() + 0.43) for p in axes.patches]
    assert np.allclose(frames, [(0, 0), (0, 1), (1, 2)])


def history(losses, kept):
    return [
        {"epoch": i, "loss": 1 / (i + 1), "val_a_loss": x, "val_a_mAP": 0.1 * i}
        | {"kept": int(i in kept)}
        for i, x in enumerate(losses)
    ]


def test_the_best_epoch_is_the_last_that_was_kept():
    assert results.best_epoch(history([3, 2, 1, 2], kept=(0, 1, 2))) == 2
    assert results.best_epoch(history([1, 2, 3], kept=(0,))) == 0


def test_runs_without_validation_show_their_training_loss_alone():
    rows = [{"epoch": i, "loss": 2.0 - i, "kept": i} for i in range(2)]
    (training,) = results.learning_curves({"seed0": rows}, levels=("a",)).axes
    assert same(drawn(training, "loss", axis="y"), [2, 1])
    assert same(drawn(training, "best"), [2])


def test_single_labels_show_uar_in_the_place_of_map():
    rows = [{**row, "val_a_uar": 0.5} for row in history([2, 1], kept=(0, 1))]
    panel = results.learning_curves({"seed0": rows}, levels=("a",)).axes[2]
    assert same(drawn(panel, "val_a_uar", axis="y"), [50, 50])
    assert not drawn(panel, "val_a_mAP")


def test_learning_curves_count_epochs_from_one_and_mark_the_best():
    figure = results.learning_curves(
        {"seed0": history([3, 1, 2], kept=(0, 1))}, levels=("a",)
    )
    training, loss, precision = figure.axes
    assert same(drawn(training, "loss", axis="y"), [1, 1 / 2, 1 / 3])
    assert same(drawn(loss, "val_a_loss", axis="y"), [3, 1, 2])
    assert same(drawn(precision, "val_a_mAP", axis="y"), [0, 10, 20])
    assert same(drawn(precision, "val_a_mAP"), [1, 2, 3])
    for panel, height in zip(figure.axes, (1 / 2, 1, 10), strict=True):
        assert same(drawn(panel, "best"), [2])
        assert same(drawn(panel, "best", axis="y"), [height])


def label(precision, positive=1, negative=3):
    return {
        "average_precision": precision,
        "num_positive": positive,
        "num_negative": negative,
    }


def test_per_label_bars_are_means_with_runs_guessing_and_counts():
    runs = [
        {"a": label(0.4), "b": label(None, 0, 5)},
        {"a": label(0.8), "b": label(float("nan"), 0, 5)},
    ]
    axes = results.per_label_bars(runs, level="fine", yardstick=0.55).axes[0]
    (bar,) = axes.patches
    assert bar.get_width() == pytest.approx(60)
    assert same(drawn(axes, "runs"), [40, 80])
    assert same(drawn(axes, "guess"), [25, 25])
    assert same(drawn(axes, "reference"), [55, 55])
    assert texts(axes) == ["1 + 3", "undefined", "0 + 5", "positive + negative"]


@pytest.mark.parametrize("yardstick", [None, float("nan")])
def test_an_undefined_yardstick_is_left_out(yardstick):
    figure = results.per_label_bars([{"a": label(1)}], level="x", yardstick=yardstick)
    assert not drawn(figure.axes[0], "reference")


def test_log_mel_axes_are_seconds_and_hertz():
    values = np.linspace(-120, 0, 40 * 8).reshape(40, 8)
    hertz = np.linspace(100, 2000, 8)
    axes = maps.log_mel(values, hop_seconds=0.25, band_hertz=hertz).axes[0]
    picture = axes.images[0]
    assert picture.get_array().shape == (8, 40)
    assert axes.get_xlim() == (0, 10)
    assert picture.get_clim() == (-80, 0)
    ticks = [tick.get_text() for tick in axes.get_yticklabels()]
    assert ticks[0] == "100" and ticks[-1] == "2,000"


def test_png_bytes_are_the_same_every_time_and_hold_no_date():
    first, second = (
        style.to_png(results.box_plots(GROUPS, level="x", metrics=("mAP",)), dpi=50)
        for _ in range(2)
    )
    assert first == second
    assert b"tEXt" not in first and b"tIME" not in first
    assert imread(io.BytesIO(first), format="png").shape[1] == 450
