"""Plots of decisions: known numbers land where they belong."""

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from sklearn.metrics import precision_recall_curve

from tfhier.plots import decisions, style


def texts(axes):
    return [text.get_text() for text in axes.texts]


# -- Confusions ------------------------------------------------------------------------


def test_confusions_are_shares_of_their_rows_with_counts():
    counts = np.array([[3, 1, 0], [0, 0, 0], [2, 0, 6]])
    figure = decisions.confusion_matrix(counts, ["a_b", "c", "d"])
    axes, bar = figure.axes
    expected = np.array([[75, 25, 0], [0, 0, 0], [25, 0, 75]])
    np.testing.assert_allclose(axes.images[0].get_array(), expected)
    assert axes.images[0].get_clim() == (0, 100)
    assert texts(axes) == [
        "75.0\n3", "25.0\n1", "0.0\n0",
        "0.0\n0", "0.0\n0", "0.0\n0",
        "25.0\n2", "0.0\n0", "75.0\n6",
    ]  # fmt: skip
    places = [text.get_position() for text in axes.texts]
    assert places == [(column, row) for row in range(3) for column in range(3)]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert rows == ["a b (4)", "c (0)", "d (8)"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a b", "c", "d"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("decided", "true (clips)")
    assert bar.get_ylabel() == "of the row (%)"
    # Dark cells have light letters.
    colours = [text.get_color() for text in axes.texts]
    assert [colour == "white" for colour in colours] == [
        share > 50 for share in expected.ravel()
    ]


@pytest.mark.parametrize(("size", "has_counts"), [(12, True), (13, False), (50, False)])
def test_many_labels_have_no_counts_and_stay_on_the_page(size, has_counts):
    labels = [f"label_{i}" for i in range(size)]
    figure = decisions.confusion_matrix(5 * np.eye(size, dtype=int), labels)
    assert bool(figure.axes[0].texts) == has_counts
    assert figure.get_size_inches()[0] == style.WIDTH
    assert figure.get_size_inches()[1] <= 9.0
    assert len(figure.axes[0].get_yticklabels()) == size


# -- Embeddings ------------------------------------------------------------------------


def test_clips_are_dots_of_their_labels_colour():
    places = np.arange(12.0).reshape(6, 2)
    targets = np.eye(4)[[1, 0, 1, 3, 1, 0]]
    figure = decisions.embedding_map(places, targets, ["a", "b_c", "none", "d"])
    lines = figure.axes[0].lines
    # Frequent labels first, so that rare ones lie on top.
    names = ["b c (3)", "a (2)", "d (1)", "none (0)"]
    assert [line.get_label() for line in lines] == names
    for line, label in zip(lines, (1, 0, 3, 2), strict=True):
        assert line.get_color() == style.COLOURS[label]
        np.testing.assert_array_equal(line.get_xydata(), places[targets[:, label] > 0])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == names


def test_more_labels_than_colours_have_other_marks():
    size = 3 * len(style.COLOURS)
    figure = decisions.embedding_map(
        np.zeros((size, 2)), np.eye(size), [str(i) for i in range(size)]
    )
    styles = {(line.get_color(), line.get_marker()) for line in figure.axes[0].lines}
    assert len(styles) == size


# -- Precision and recall --------------------------------------------------------------


def test_curves_are_scikit_learns_and_guessing_a_thin_line(rng):
    curves = {
        name: (rng.random(40), rng.random(40) < share)
        for name, share in (("0 dB", 0.3), ("20 dB", 0.6))
    }
    (axes,) = decisions.precision_recall(curves, label="a_b").axes
    assert axes.get_xlabel() == "recall (%), a b"
    told = [text.get_text() for text in axes.get_legend().get_texts()]
    for number, (name, (scores, positive)) in enumerate(curves.items()):
        curve, guess = axes.lines[2 * number : 2 * number + 2]
        precision, recall, _ = precision_recall_curve(positive, scores)
        np.testing.assert_allclose(curve.get_xdata(), 100 * recall)
        np.testing.assert_allclose(curve.get_ydata(), 100 * precision)
        np.testing.assert_allclose(guess.get_ydata(), 100 * positive.mean())
        assert guess.get_linewidth() < curve.get_linewidth()
        assert to_rgba(curve.get_color()) == to_rgba(style.COLOURS[number])
        assert told[number] == f"{name} ({positive.sum()} of 40)"


def test_conditions_without_a_positive_have_no_curve():
    curves = {
        "0 dB": (np.array([0.1, 0.2]), np.zeros(2, bool)),
        "none": (np.zeros(0), np.zeros(0, bool)),
    }
    (axes,) = decisions.precision_recall(curves, label="a").axes
    assert not axes.lines
    assert axes.get_legend() is None
    curves["10 dB"] = (np.array([0.1, 0.2]), np.array([False, True]))
    (axes,) = decisions.precision_recall(curves, label="a").axes
    assert len(axes.lines) == 2
    # The colour is the condition's, whatever others lack.
    assert axes.lines[0].get_color() == style.COLOURS[2]


# -- The style -------------------------------------------------------------------------


def test_pictures_are_the_same_bytes_every_time():
    counts = np.array([[3, 1], [0, 2]])
    pictures = [
        style.to_png(decisions.confusion_matrix(counts, ["a", "b"]), dpi=50)
        for _ in range(2)
    ]
    assert pictures[0] == pictures[1]
    assert pictures[0][:8] == b"\x89PNG\r\n\x1a\n"
    width = int.from_bytes(pictures[0][16:20], "big")
    assert width == 50 * style.WIDTH


def test_titles_are_words_and_not_formulas():
    figure = style.new(1.0)
    style.title(figure, "")
    assert figure._suptitle is None
    style.title(figure, "a $b$ c_d.wav")
    assert figure._suptitle.get_text() == "a $b$ c_d.wav"
    assert not figure._suptitle.get_parse_math()
