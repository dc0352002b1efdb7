"""A study: experiments run on one data set, told on the console and in report pages.

This is what `experiments/run.py` opens. It finds the data, says what stands in for
what, runs every experiment, and puts those of one table side by side.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import keras

from tfhier import console, contract, data, frontends, tables, tagger
from tfhier.catalogue import override
from tfhier.data import bundle as bundles
from tfhier.data.clips import Clips
from tfhier.errors import InputError
from tfhier.experiment import Experiment
from tfhier.pretrained import porting
from tfhier.report import comparison
from tfhier.report import experiment as report
from tfhier.taxonomy import Taxonomy
from tfhier.train import sweep
from tfhier.train.embeddings import Embeddings
from tfhier.train.job import Job


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a study is run.

    Args:
        data: "auto", "embedded" or a path in the data set's layout.
        profile: "paper", "small", or "auto": the paper's settings on the published data
            set, the small profile on anything else.
        changes: Settings to change, as `--set field=value` gives them.
        seeds: Seeds in place of the experiments' own; None keeps those.
        folds: Folds of a cross-validation to run; None: all.
        output: Folder of the results.
        marks_data: Whether folders of results are named after the data, too, where
            these are not the published ones.
        fresh: Whether to delete earlier results of the same experiments first.
        test_only: Whether to evaluate saved models without training.
        skip_bad: Whether to leave unreadable audio files out.
        command: What the user typed, for the record.
    """

    data: str = "auto"
    profile: Literal["auto", "paper", "small"] = "auto"
    changes: tuple[str, ...] = ()
    seeds: tuple[int, ...] | None = None
    folds: tuple[int, ...] | None = None
    output: Path = Path("saved_models")
    marks_data: bool = True
    fresh: bool = False
    test_only: bool = False
    skip_bad: bool = False
    command: str = ""


def run(experiments: Mapping[str, Experiment], options: Options) -> list[dict]:
    """Run experiments one after the other; return their summaries.

    Experiments that need what is not to be had (precomputed features, published
    weights, another experiment that was set aside) are set aside with a word, unless
    they were asked for alone.

    Raises:
        InputError: See the parts; nothing half-written is left behind.
    """
    changed = {n: override(e, options.changes) for n, e in experiments.items()}
    clips_of = _find_clips(list(changed.values()), options)
    starts: dict[tuple, Path] = {}
    obstacles = _obstacles(changed, clips_of, options, starts)
    for name, obstacle in obstacles.items():
        console.line("left out", f"{name}: {obstacle}")
    if len(obstacles) == len(changed):
        raise InputError(f"None of these experiments can be run. {obstacle}")
    jobs, summaries = {}, []
    cache: dict[tuple, bundles.Bundle] = {}
    for name, experiment in changed.items():
        if name in obstacles:
            continue
        clips = clips_of[_source(experiment)]
        job = _job(name, experiment, experiments[name], clips, options, cache, starts)
        _introduce(job)
        summary = sweep.run(job, fresh=options.fresh, test_only=options.test_only)
        jobs[name] = job
        summaries.append(summary)
        _conclude(job, summary)
    _compare(jobs, summaries, options)
    return summaries


def _find_clips(
    experiments: Sequence[Experiment], options: Options
) -> dict[tuple, Clips]:
    """Return the clips of every experiment by `_source`, and check the experiments.

    All of them, before anything is trained; and where the profile does not depend on
    the clips, before these are found or made, which may take minutes.
    """
    for experiment in experiments:
        stands_in = data.stands_in(experiment.dataset, options.data)
        if stands_in or options.profile != "auto":
            _check(experiment.profile(_profile(options, "embedded")))
    clips_of: dict[tuple, Clips] = {}
    for experiment in experiments:
        own = [e for e in experiments if e.dataset == experiment.dataset]
        key = _source(experiment)
        if key not in clips_of:
            if _needs_stand_in(experiment.dataset, options.data):
                _announce_stand_in(experiment.dataset, own)
            clips_of[key] = data.find_clips(
                experiment.dataset, options.data, **dict(key[1:])
            )
    for experiment in experiments:
        kind = clips_of[_source(experiment)].kind
        _check(experiment.profile(_profile(options, kind)))
    return clips_of


def _profile(options: Options, kind: str) -> str:
    """Return the profile that experiments have on clips of a kind."""
    if options.profile != "auto":
        return options.profile
    return "paper" if kind == "published" else "small"


def _check(experiment: Experiment) -> None:
    """Raise an InputError for names that there are not and weights that do not fit."""
    for setting in experiment.runs():
        tagger.check_names(setting)
        if setting.pretrained:
            porting.check(
                setting.pretrained,
                frontend=setting.frontend,
                backbone=setting.backbone,
                width=setting.width,
            )


def _source(experiment: Experiment) -> tuple:
    """Return what decides an experiment's clips: data set and (setting, value) pairs.

    Raises:
        InputError: A setting is changed that the data set does not have.
    """
    names = data.settings_of(experiment.dataset)
    for name in ("background", "label_column", "test_groups", "recordings"):
        is_default = getattr(experiment, name) == getattr(Experiment(), name)
        if name not in names and not is_default:
            raise InputError(
                f"{name} is not for the data set '{experiment.dataset}': it is for "
                "one's own recordings, or for verdicts on events (docs/data.md)."
            )
    return experiment.dataset, *((name, getattr(experiment, name)) for name in names)


def _needs_stand_in(dataset: str, where: str) -> bool:
    return data.stands_in(dataset, where) and bool(
        data.module_of(dataset).EMBEDDED_NAME
    )


def _announce_stand_in(dataset: str, experiments: Sequence[Experiment]) -> None:
    """Say what stands in for the data set, before it is made.

    Raises:
        InputError: None of the experiments could run on it.
    """
    module = data.module_of(dataset)
    wanted = {experiment.features for experiment in experiments}
    if not wanted & {"", *module.EMBEDDED_FEATURES}:
        raise InputError(
            f"These experiments need the features {', '.join(sorted(wanted))}, which "
            f"the {module.EMBEDDED_NAME} does not have. Give a file that has them: "
            "--data FILE.npz (docs/data.md)."
        )
    console.line(
        "data",
        f"{module.NAME} is not in {module.default_folder()}: the "
        f"{module.EMBEDDED_NAME} stands in, SYNTHETIC clips, made in a minute or two "
        "if they are not there yet (who stops it starts anew)",
    )
    console.line("", f"for the paper's data:  tfhier prepare {dataset}")


def _obstacles(
    experiments: Mapping[str, Experiment],
    clips_of: Mapping[tuple, Clips],
    options: Options,
    starts: dict[tuple, Path],
) -> dict[str, str]:
    """Return why experiments cannot be run, by name; nothing for one asked for alone.

    Weights are found here, for all, before the first experiment is trained.
    """
    if len(experiments) == 1:
        return {}
    found: dict[str, str] = {}
    absent: dict[tuple, str] = {}
    for name, experiment in experiments.items():
        clips = clips_of[_source(experiment)]
        chosen = experiment.profile(_profile(options, clips.kind))
        wanted = chosen.pretrained, chosen.frontend
        if chosen.pretrained and wanted not in absent:
            try:
                _start(chosen, starts)
            except InputError as error:
                absent[wanted] = str(error)
        gone = [each for each in chosen.initial if each in found]
        reason = (
            _lacking(chosen, clips)
            or absent.get(wanted, "")
            or (f"it starts from {', '.join(gone)}" if gone else "")
        )
        if reason:
            found[name] = reason
    return found


def _start(experiment: Experiment, starts: dict[tuple, Path]) -> Path | None:
    """Return the saved tagger that `pretrained` names, found once a command.

    Raises:
        InputError: The weights cannot be had.
    """
    wanted = experiment.pretrained, experiment.frontend
    if experiment.pretrained and wanted not in starts:
        starts[wanted] = porting.find(wanted[0], frontend=wanted[1])
    return starts.get(wanted)


def _lacking(experiment: Experiment, clips: Clips) -> str:
    """Return what an experiment needs and clips do not have, in words."""
    there = ", ".join(sorted(clips.features)) or "none"
    if experiment.features and experiment.features not in clips.features:
        lacking = f"features '{experiment.features}'"
    elif not experiment.features and clips.paths is None:
        lacking = "audio"
    else:
        return ""
    return (
        f"{clips.name} has no {lacking} (features there: {there}; --set features=NAME "
        "chooses others)"
    )


def _job(
    name: str,
    experiment: Experiment,
    paper: Experiment,
    clips: Clips,
    options: Options,
    cache: dict[tuple, bundles.Bundle],
    starts: dict[tuple, Path],
) -> Job:
    profile = _profile(options, clips.kind)
    chosen = experiment.profile(profile)
    if options.seeds is not None:
        chosen = chosen.but(seeds=options.seeds)
    if clips.max_seconds and not chosen.features:
        seconds = max(0.05, min(chosen.clip_seconds, clips.max_seconds))
        chosen = chosen.but(clip_seconds=seconds)
    start = _start(chosen, starts)
    if chosen.taxonomy:
        taxonomy = Taxonomy.read(chosen.taxonomy)
    elif start and chosen.initial_head:
        taxonomy = contract.read(start).taxonomy
    else:
        taxonomy = Taxonomy.flat(clips.labels)
    sample_rate = frontends.FRONTENDS[chosen.frontend]["sample_rate"]
    key = (
        chosen.dataset, taxonomy.to_csv(), chosen.features, chosen.clip_seconds,
        sample_rate, chosen.coarse_negatives,
    )  # fmt: skip
    if key not in cache:
        cache[key] = bundles.build(
            clips, chosen, taxonomy, sample_rate=sample_rate, skip_bad=options.skip_bad
        )
    bundle = cache[key]
    if start and chosen.initial_head and contract.read(start).taxonomy != taxonomy:
        raise InputError(
            f"{start} has other labels than {name}, or others of them above, so its "
            "head is of no use. Leave initial_head out: the backbone's weights serve."
        )
    if start and all(setting.embeds_once for setting in chosen.runs()):
        embedded = Embeddings(start, bundle.source)
        bundle = dataclasses.replace(bundle, embedded=embedded)
    return Job(
        name=name,
        profile=profile,
        experiment=chosen,
        paper=paper,
        bundle=bundle,
        pretrained=start,
        folder=options.output / (name + suffix(clips) * options.marks_data),
        command=options.command,
        folds=options.folds,
    )


def suffix(clips: Clips) -> str:
    """Return what tells a folder of results on other data from the real thing's."""
    if clips.kind == "published":
        return ""
    slug = "embedded" if clips.kind == "embedded" else clips.name
    return "@" + "".join(c if c.isalnum() or c in "-_." else "-" for c in slug)


def _introduce(job: Job) -> None:
    clips, experiment = job.bundle.clips, job.experiment
    print(f"\n{experiment.title(job.name)}", flush=True)
    kind = "SYNTHETIC clips" if clips.kind == "embedded" else "clips"
    console.line("data", f"{clips.name}, {len(clips)} {kind}")
    for note in job.notes:
        console.line("", note)
    ours, theirs = _differing(experiment, job.paper)
    console.line("profile", f"{job.profile}: {ours}")
    if theirs:
        console.line("", f"{job.paper.original}: {theirs}")
    is_light = experiment.features or job.bundle.embedded is not None
    has_gpu = bool(keras.distribution.list_devices("gpu"))
    if job.profile == "paper" and not (is_light or has_gpu):
        console.line(
            "", "no GPU here: this takes weeks on a CPU; --profile small takes minutes"
        )
    _explain_frozen(job)
    num_steps = experiment.num_epochs * experiment.steps_per_epoch
    if experiment.is_averaged and 0 < num_steps <= experiment.ema_start:
        console.line(
            "",
            f"the average of weights would begin at step {experiment.ema_start}; "
            f"these are {num_steps}: --set ema_start=...",
        )
    for departure in job.paper.departures:
        console.line("", f"not as in the paper: {departure}")


def _explain_frozen(job: Job) -> None:
    """Say why a frozen backbone is asked for the same embeddings again and again."""
    settings = list(job.experiment.runs())
    anew = {name: off for setting in settings for name, off in setting.heard_anew}
    if job.pretrained and anew and all(setting.frozen for setting in settings):
        changes = " ".join(f"{name}={off}" for name, off in anew.items())
        console.line(
            "",
            "frozen: embeddings are computed anew at every step, because of "
            f"{', '.join(anew)}: --set {changes} computes them once",
        )


def _differing(experiment: Experiment, paper: Experiment) -> tuple[str, str]:
    """Return the settings of both sides that differ, as text; all alike: a few."""
    own = {**experiment.settings(), "seeds": experiment.seeds, **experiment.grid}
    other = {**paper.settings(), "seeds": paper.seeds, **paper.grid}
    names = [name for name in other if own[name] != other[name]]
    shown = names or ["backbone", "head", "epochs", "seeds"]
    ours, theirs = (
        ", ".join(f"{name} {_plain(side[name])}" for name in shown)
        for side in (own, other)
    )
    return ours, theirs if names else ""


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return "/".join(map(str, value))
    return str(value)


def _conclude(job: Job, summary: dict) -> None:
    tables.show([summary])
    if summary["chosen"]:
        setting = ", ".join(f"{k}={v}" for k, v in summary["chosen"].items())
        console.line("chosen", f"{setting}, by validation loss of the fine tags")
    console.line("report", str(report.write(job.folder, job.bundle)))


def _compare(
    jobs: Mapping[str, Job], summaries: Sequence[dict], options: Options
) -> None:
    """Put the experiments of each table side by side."""
    for title in dict.fromkeys(summary["table"] for summary in summaries):
        group = [summary for summary in summaries if summary["table"] == title]
        if not title or len(group) < 2:
            continue
        job = jobs[group[0]["experiment"]]
        print(f"\n{title}, on {job.bundle.clips.name}")
        tables.show(group)
        folder = options.output / (slug(title) + suffix(job.bundle.clips))
        console.line("report", str(comparison.write(folder, title, group)))


def slug(title: str) -> str:
    """Return a title as a folder name."""
    words = "".join(c.lower() if c.isalnum() else " " for c in title).split()
    return "-".join(words)
