"""What to do: one flat, frozen record of settings.

How experiments are found in files and changed by text: `tfhier.catalogue`.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

from tfhier.errors import InputError, close_names
from tfhier.files import read_json


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Settings of one row of a paper's table, at the paper's size and a small one."""

    # -- What it is called in tables
    row: str = ""  # the method, in the paper's words
    table: str = ""  # the table that the row stands in
    baseline: str = ""  # experiment that differences are taken to
    # The paper's figures in percent, in the form of a summary:
    # {"test": {"fine": {"mAP": 86.0}}, ...}, see `compare.paper_figures`
    paper: Mapping[str, Mapping[str, Mapping]] = field(default_factory=dict)
    departures: tuple[str, ...] = ()  # where the settings below are not the paper's

    # -- Data
    dataset: str = "openmic"
    # A name of the package, the path of a CSV, or "" for the data's labels alone; with
    # initial_head for those of the model that is started from
    taxonomy: str = "openmic"
    coarse_negatives: Literal["observed", "certain"] = "observed"
    validation_fraction: float = 0.15  # of the training clips
    num_folds: int = 0  # > 0: cross-validation instead of the data set's own split
    # What chooses the epoch that is kept: held-out clips; nothing, the last is kept and
    # no clip held out; or the test clips themselves, which flatters the figures
    selection: Literal["validation", "last", "test"] = "validation"
    select_by: Literal["loss", "mAP", "uar"] = "loss"  # of the finest level
    features: str = ""  # name of precomputed features to take instead of audio
    clip_seconds: float = 10.0  # longer clips are cut, shorter ones padded
    crop_seconds: float = 0.0  # > 0: train on random crops of this length
    # Of one's own recordings: "gaps" makes clips of what lies between selections too
    background: Literal["none", "gaps"] = "none"
    label_column: str = ""  # of their tables; "" for the usual names
    # Their groups (sites, say) that are the test; none: about a fifth of the clips
    test_groups: tuple[str, ...] = ()
    recordings: str = ""  # folder of what verdicts are on, where it was moved

    # -- Model
    frontend: str = "panns_16k"
    backbone: str = "cnn14"
    width: float = 1.0  # multiplies every channel count of the backbone
    dropout_scale: float = 1.0  # multiplies every dropout rate of the backbone
    # > 0: a hidden layer between embedding and head, on every frame that there is
    hidden_units: int = 0
    hidden_dropout: float = 0.0  # of what the head sees
    head: str = "resatt"
    # How a flat tagger's leaves give the levels above at inference; the paper's is max
    flat_pool: Literal["max", "average", "noisy_or"] = "max"
    # Our departures: with a prior > 0 ResAtt's attention begins at the taxonomy, so
    # strongly; with a scale < 1 it learns the more slowly
    attention_prior: float = 0.0
    attention_scale: float = 1.0
    # What the backbone starts from: published weights (tfhier list weights) or the path
    # of a saved tagger; or experiments whose best models, of the same seed, it starts
    # from: one for each backbone of a fusion such as "cnn10+resnet22"
    pretrained: str = ""
    initial: tuple[str, ...] = ()
    initial_head: bool = False  # whether neck and head start from there too
    frozen: bool = False  # whether the backbone keeps its initial weights

    # -- Loss
    # "cce": softmax and categorical cross-entropy for leaves that exclude each other
    loss: Literal["bce", "cce"] = "bce"
    # "svm": a linear support vector machine on the embeddings takes the head's place
    fit: Literal["gradient", "svm"] = "gradient"
    fine_weight: float = 0.8  # lambda, Eq. 2: the rest is shared by the upper levels
    # > 0 adds the consistency terms of Krause & Mueller
    consistency_weight: float = 0.0

    # -- Training
    sampling: Literal["uniform", "balanced", "importance"] = "uniform"
    batch_size: int = 16
    epochs: int = 30
    steps_per_epoch: int = 0  # 0: as many as there are whole batches of clips
    learning_rate: float = 1e-4
    # The backbone's share of it, and what every layer deeper has of the next one's
    backbone_rate: float = 1.0
    layer_decay: float = 1.0
    warmup_epochs: int = 5
    decay_epochs: int = 0  # > 0: the rate falls linearly over the last epochs
    weight_decay: float = 1e-4
    # False: L2 added to the gradient, as torch Adam
    decoupled_weight_decay: bool = False
    amsgrad: bool = False
    ema_decay: float = 0.0  # > 0: an average of the weights is kept beside them
    ema_start: int = 0  # training step from which on it lags behind
    # Whether the decay grows at first, min(ema_decay, (1 + n) / (10 + n)) at the n-th
    # update, as in the primates' published code
    ema_warmup: bool = False
    # Whether batch normalisation's running statistics are averaged with the weights;
    # not so in the primates' published code
    ema_statistics: bool = False
    # > 0: the live weights become the average every so many steps, as an error in the
    # primates' published code makes them
    ema_reset_every: int = 0

    # -- Augmentation
    spec_augment: bool = True
    spec_time_width: int = 64  # frames; widths stay below it
    spec_mel_width: int = 8  # bands
    spec_stripes: tuple[int, ...] = (2, 2)  # fewest and most stripes on each axis
    spec_per: Literal["clip", "batch"] = "clip"  # what has stripes of its own
    # > 0: Beta(alpha, alpha) mixup of log-mels, or of embeddings that are computed once
    mixup_alpha: float = 0.0
    mixup_per: Literal["clip", "batch"] = "clip"  # what has a share of its own
    time_stretch: float = 0.0  # 0.1: speeds from 0.9 to 1.1
    pitch_quarter_tones: int = 0  # most quarter tones up or down
    roll_seconds: float = 0.0  # most seconds that a clip is rotated, either way
    gain_db: float = 0.0  # most dB louder or softer
    noise_rate: float = 0.0  # share of clips that training noise is mixed into
    noise_label: str = ""  # label of the training clips that serve as noise
    noise_snr_db: tuple[float, ...] = (0.0, 20.0)  # lowest and highest

    # -- Runs
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 7)
    grid: Mapping[str, tuple] = field(default_factory=dict)  # setting -> values to try
    # What the small profile changes, for a laptop or a small stand-in.
    small: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self):
        for name in (*_RANGES, *_CHOICES):
            _check_value(name, getattr(self, name))
        self._check_pairs()
        if not self.seeds or not all(
            isinstance(seed, int) and 0 <= seed < 2**31 for seed in self.seeds
        ):
            raise InputError(
                "seeds are whole numbers from 0 to 2147483647, at least one. Received: "
                f"{self.seeds}"
            )
        if len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"seeds name a seed twice. Received: {self.seeds}")
        for where in ("grid", "small"):
            for name in getattr(self, where):
                refuse_unknown(name, f"{where} names")
        for name, values in self.grid.items():
            if not isinstance(values, tuple) or not values:
                raise InputError(
                    "The grid gives every setting a tuple of values. Received: "
                    f"{name}: {values!r}"
                )
            if name in ("pretrained", "initial"):
                raise InputError(
                    f"All points of a grid have the same start, so {name} is no part "
                    "of it. Make an experiment for each."
                )
            for value in values:
                _check_value(name, value)

    def _check_pairs(self) -> None:
        """Raise an InputError for settings that do not fit each other."""
        for name in ("spec_stripes", "noise_snr_db"):
            pair = getattr(self, name)
            kinds = int if name == "spec_stripes" else (int, float)
            are_numbers = all(
                isinstance(value, kinds) and not isinstance(value, bool)
                for value in pair
            )
            # Not `>`: NaN is neither.
            if len(pair) != 2 or not are_numbers or not pair[0] <= pair[1]:
                raise InputError(
                    f"{name} is a lowest and a highest value. Received: {pair!r}"
                )
        if min(self.spec_stripes) < 0:
            raise InputError(
                f"spec_stripes must not be negative. Received: {self.spec_stripes}"
            )
        if bool(self.noise_rate) != bool(self.noise_label):
            raise InputError(
                "noise_rate, the share of clips that noise is mixed into, and "
                "noise_label, the label of the clips that serve as noise, are given "
                f"together. Received: noise_rate={self.noise_rate}, "
                f"noise_label='{self.noise_label}'"
            )
        for name in ("ema_reset_every", "ema_warmup", "ema_statistics"):
            if getattr(self, name) and not self.ema_decay:
                raise InputError(f"{name} is of the average that ema_decay asks for.")
        if self.fit == "svm" and self.loss == "cce":
            raise InputError(
                "fit='svm' scores each label on its own, and loss='cce' all of them "
                "against each other. Use loss='bce' with it."
            )
        if not all(isinstance(name, str) and name for name in self.initial):
            raise InputError(
                f"initial gives names of experiments. Received: {self.initial!r}"
            )
        self._check_start()
        if self.fit == "svm" and self.head not in ("flat", "gap", "gmp"):
            raise InputError(
                "fit='svm' fits the finest level alone, so the levels above must "
                "follow from it: use --set head=flat, gap or gmp. Received: "
                f"head='{self.head}'"
            )

    def _check_start(self) -> None:
        """Raise an InputError for settings of a start that do not fit each other."""
        if self.initial and self.pretrained:
            raise InputError(
                "A backbone starts from pretrained weights or from initial "
                f"experiments, not both. Received: pretrained='{self.pretrained}', "
                f"initial={self.initial}. Drop one: --set pretrained= or --set initial="
            )
        if (self.frozen or self.fit == "svm") and not (self.initial or self.pretrained):
            raise InputError(
                "frozen and fit='svm' need a trained backbone: pretrained weights, or "
                "initial experiments to start from."
            )
        is_own = self.pretrained.endswith(".keras")
        if self.initial_head and not (self.initial or is_own):
            raise InputError(
                "initial_head takes neck and head from initial, or from a saved tagger "
                "of yours that pretrained names (FILE.keras). There is neither."
            )
        if self.initial_head and "+" in self.backbone:
            raise InputError(
                "initial_head takes neck and head from one tagger, but a fusion starts "
                f"from one for each backbone. Received: backbone='{self.backbone}'"
            )
        is_fixed = self.frozen or self.fit == "svm"
        if is_fixed and not self.backbone_rate == self.layer_decay == 1.0:
            raise InputError(
                "backbone_rate and layer_decay are of a backbone that is trained, and "
                "frozen or fit='svm' keeps it as it is. Leave them at 1, or train the "
                "backbone."
            )
        if self.pretrained and (self.features or "+" in self.backbone):
            raise InputError(
                "pretrained weights are of one backbone on audio. Received: "
                f"backbone='{self.backbone}', features='{self.features}'"
            )
        for head, names in HEAD_SETTINGS.items():
            given = [n for n in names if getattr(self, n) != _FIELDS[n].default]
            if given and self.head != head:
                raise InputError(
                    f"{' and '.join(given)} {'is' if len(given) == 1 else 'are'} of "
                    f"the head '{head}'. Received: head='{self.head}'"
                )

    @property
    def embeds_once(self) -> bool:
        """Whether embeddings are computed once, and training sees nothing else.

        So it is with a frozen pretrained backbone that nothing random comes before.
        """
        return bool(self.pretrained) and self.frozen and not self.heard_anew

    @property
    def heard_anew(self) -> tuple[tuple[str, object], ...]:
        """What makes a clip's embedding another at every step, and what turns it off.

        Pairs of a setting and its value for nothing of the kind.
        """
        pairs = {name: kind() for name, kind in _HEARD_ANEW.items()}
        return tuple(
            (name, off) for name, off in pairs.items() if getattr(self, name) != off
        )

    @property
    def is_averaged(self) -> bool:
        """Whether a run keeps an average of the weights: not without its steps."""
        return self.ema_decay > 0 and self.fit == "gradient"

    @property
    def num_epochs(self) -> int:
        """Epochs of a run: a support vector machine is fitted once."""
        return 1 if self.fit == "svm" else self.epochs

    @property
    def original(self) -> str:
        """What the full settings are called: "paper" for a row that a paper has."""
        return "paper" if self.paper else "full"

    def title(self, name: str) -> str:
        """Return name, row and table as one line, as far as there are any."""
        table = f"({self.table})" if self.table else ""
        return "  ".join(filter(None, (name, f"{self.row} {table}".strip())))

    def but(self, **changes) -> "Experiment":
        """Return the same experiment with some settings changed.

        Raises:
            InputError: A name is no setting; close ones are offered.
        """
        for name in changes:
            refuse_unknown(name, "there is")
        return dataclasses.replace(self, **changes)

    def profile(self, name: Literal["paper", "small"]) -> "Experiment":
        """Return the experiment at the paper's size, or with its `small` changes."""
        if name == "paper":
            return self
        if name == "small":
            return self.but(**self.small)
        raise InputError(f"A profile is 'paper' or 'small'. Received: {name!r}")

    def runs(self) -> Iterator["Experiment"]:
        """Yield the experiment once for every point of its grid, with an empty grid."""
        for values in itertools.product(*self.grid.values()):
            yield self.but(grid={}, **dict(zip(self.grid, values, strict=True)))

    def settings(self) -> dict:
        """Return what decides a run's numbers, as plain JSON values."""
        skipped = {
            "row", "table", "baseline", "paper", "departures", "seeds", "grid", "small"
        }  # fmt: skip
        return {
            item.name: _plain(getattr(self, item.name))
            for item in dataclasses.fields(self)
            if item.name not in skipped
        }


def read_settings(path: Path) -> dict:
    """Return the settings in a run's `experiment.json`, and what else it says.

    A run made before a setting existed had its default.

    Raises:
        InputError: The file is missing or damaged.
    """
    return Experiment().settings() | read_json(path)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


# What chance changes in front of an embedding or within the backbone, and its type.
_HEARD_ANEW = {
    "spec_augment": bool,
    "dropout_scale": int,
    "crop_seconds": int,
    "time_stretch": int,
    "pitch_quarter_tones": int,
    "roll_seconds": int,
    "gain_db": int,
    "noise_rate": int,
    "noise_label": str,  # never without the other
}
# What only one head takes.
HEAD_SETTINGS = {
    "flat": ("flat_pool",),
    "resatt": ("attention_prior", "attention_scale"),
}
# Lowest and highest value; a whole number where the lowest is one.
_RANGES = {
    "validation_fraction": (0.01, 0.9),
    "num_folds": (0, 1000),
    "clip_seconds": (0.05, 3600.0),
    "crop_seconds": (0.0, 3600.0),
    "width": (0.01, 16.0),
    "hidden_units": (0, 1_000_000),
    "hidden_dropout": (0.0, 0.95),
    "attention_prior": (0.0, 100.0),
    "attention_scale": (1e-6, 100.0),
    "dropout_scale": (0.0, 1.9),
    "fine_weight": (0.0, 1.0),
    "consistency_weight": (0.0, 1e6),
    "batch_size": (1, 1_000_000),
    "epochs": (1, 1_000_000),
    "learning_rate": (0.0, 1e3),
    "backbone_rate": (0.0, 1e3),
    "layer_decay": (0.01, 1.0),
    "warmup_epochs": (0, 1_000_000),
    "decay_epochs": (0, 1_000_000),
    "weight_decay": (0.0, 1e3),
    "mixup_alpha": (0.0, 1e3),
    "steps_per_epoch": (0, 1_000_000),
    "ema_decay": (0.0, 0.999999),
    "ema_start": (0, 1_000_000_000),
    "ema_reset_every": (0, 1_000_000_000),
    "spec_time_width": (1, 100_000),
    "spec_mel_width": (1, 10_000),
    "time_stretch": (0.0, 0.5),
    "pitch_quarter_tones": (0, 24),
    "roll_seconds": (0.0, 3600.0),
    "gain_db": (0.0, 60.0),
    "noise_rate": (0.0, 1.0),
}
_CHOICES = {
    name: get_args(kind)
    for name, kind in get_type_hints(Experiment).items()
    if get_origin(kind) is Literal
}
_FIELDS = {item.name: item for item in dataclasses.fields(Experiment)}


def refuse_unknown(name: str, where: str) -> None:
    """Raise an InputError for a name that is no setting; close ones are offered."""
    if name not in _FIELDS:
        raise InputError(
            f"Experiment has no setting '{name}' ({where} '{name}')."
            f"{close_names(name, _FIELDS)} All settings: --print."
        )


def _check_value(name: str, value: object) -> None:
    """Raise an InputError for a value that no run could use."""
    if name in _CHOICES and value not in _CHOICES[name]:
        raise InputError(
            f"{name} is one of {', '.join(_CHOICES[name])}. Received: {value!r}"
        )
    if name not in _RANGES:
        return
    low, high = _RANGES[name]
    kinds = int if isinstance(low, int) else (int, float)
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise InputError(f"{name} must be a number like {low}. Received: {value!r}")
    if not low <= value <= high:
        raise InputError(f"{name} must lie between {low} and {high}. Received: {value}")
