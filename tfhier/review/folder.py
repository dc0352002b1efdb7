"""The page as a folder: to be put on a stick or a web server, opened without tfhier.

    index.html  review.css  *.js     the page
    clips/17.wav  clips/17.png       sound and spectrogram of event 17
    README.txt                       how to use it

Verdicts stay in the browser; a button of the page writes the reviewed table.
"""

from pathlib import Path

from tqdm import tqdm

from tfhier.errors import InputError
from tfhier.files import new_folder, require_space
from tfhier.review import page
from tfhier.review.session import Session, shown

_PICTURE_BYTES = 250_000  # what the spectrogram of a noisy recording takes at most

_README = """Review page of {name}, made by tfhier review.

Open index.html in a browser. Verdicts stay in that browser on that machine until the
button Export writes {reviewed}. Put this file beside the table of events and
tfhier review goes on with it.
"""


def write(session: Session, folder: Path) -> int:
    """Write the page of a review, whole or not at all, showing a bar.

    Args:
        session: Session.
        folder: Path. A new or an empty folder.

    Returns:
        Number of events whose sound could not be read; the page tells why.

    Raises:
        InputError: The folder has content, or the disk has no room for it.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(
            f"{folder} exists already, and the page is written to a new folder. Delete "
            "it, or give another --output."
        )
    existing = next(each for each in folder.absolute().parents if each.is_dir())
    require_space(existing, num_bytes(session))
    told = session.told(clips="clips/")
    readme = _README.format(name=told["name"], reviewed=told["reviewed_name"])
    with new_folder(folder, readme=readme) as temporary:
        clips = temporary / "clips"
        clips.mkdir()
        events = tqdm(told["events"], desc="review", disable=None, leave=False)
        for number, event in enumerate(events):
            try:
                (clips / f"{number}.png").write_bytes(session.png(number))
                (clips / f"{number}.wav").write_bytes(session.wav(number))
            except InputError as error:
                event["problem"] = shown(str(error))
        told["csv"] = session.csv_parts()
        for name in page.ASSETS:
            (temporary / name).write_bytes(page.asset(name))
        (temporary / "index.html").write_bytes(page.html(told))
    return sum("problem" in event for event in told["events"])


def num_bytes(session: Session) -> int:
    """Return how many bytes the folder takes at most."""
    total = 0
    for row in session.table.rows:
        start, end = session.excerpts.span(row)
        total += _PICTURE_BYTES + 2 * round((end - start) * row.sample_rate)
    return total
