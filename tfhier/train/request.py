"""What a run's folder was asked for, and whether that is done.

`experiment.json` holds all that decides a run's numbers: settings, seed, fold, the
fingerprint of the data, the digests of the models that it starts from.
"""

from collections.abc import Sequence
from pathlib import Path

from tfhier.data.bundle import Bundle
from tfhier.errors import InputError
from tfhier.experiment import Experiment, read_settings
from tfhier.network_digest import network_digest


def run_request(
    experiment: Experiment,
    bundle: Bundle,
    *,
    seed: int,
    fold: int,
    initial: Sequence[Path] = (),
) -> dict:
    """Return what decides a run's numbers, for `experiment.json`.

    Args:
        experiment: Experiment with an empty grid.
        bundle: Bundle of its data.
        seed: int.
        fold: int.
        initial: Saved models that the backbone starts from.
    """
    started = [network_digest(path) for path in initial]
    return {
        **experiment.settings(),
        "seed": seed,
        "fold": fold,
        "data": bundle.clips.name,
        "num_clips": len(bundle.clips),
        "data_fingerprint": bundle.fingerprint,
        **({"initial_models": started} if started else {}),
    }


def check_settings(folder: Path, wanted: dict) -> None:
    """Refuse to go on in the folder of a run that was asked for otherwise.

    By other code it may have been made: not every change of it changes numbers.

    Raises:
        InputError: The folder holds a run of other settings; they are named.
    """
    if not (folder / "experiment.json").is_file():
        # A hidden name is what a kill left of a file that was being written.
        if folder.is_dir() and any(path.name[0] != "." for path in folder.iterdir()):
            raise InputError(
                f"{folder} holds results but no experiment.json that says of what. "
                "Start over with --fresh, or choose another --output folder."
            )
        return
    there = read_settings(folder / "experiment.json")
    differing = [
        f"{name} {there.get(name)!r} -> {wanted.get(name)!r}"
        for name in sorted((set(there) | set(wanted)) - {"code"})
        if there.get(name) != wanted.get(name)
    ]
    if there.get("data_fingerprint") != wanted["data_fingerprint"]:
        raise InputError(
            f"{folder} holds a run on other clips or labels, or on clips decoded at "
            f"another rate ({'; '.join(differing)}). Keep both with another --output "
            "folder, or delete that run with --fresh."
        )
    if differing:
        raise InputError(
            f"{folder} holds a run with other settings: {'; '.join(differing)}. Start "
            "over with --fresh, or keep both with another --output folder."
        )


def is_trained(folder: Path) -> bool:
    """Return whether training in a folder came to its end."""
    return (folder / "history.csv").is_file()
