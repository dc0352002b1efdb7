"""The page: one HTML file with its data in it, a style and scripts beside it.

The scripts put data into the page as text, never as HTML.
"""

import json
from pathlib import Path

_FOLDER = Path(__file__).with_name("page")
# Name -> type, of what lies beside index.html.
ASSETS = {
    "review.css": "text/css",
    "keep.js": "text/javascript",
    "list.js": "text/javascript",
    "view.js": "text/javascript",
    "review.js": "text/javascript",
}


def html(told: dict) -> bytes:
    """Return index.html.

    Args:
        told: dict. What the scripts are told, see `Session.told`.
    """
    # No end of the script that it lies in, and no comment, can begin in it.
    data = json.dumps(told, ensure_ascii=False).replace("<", "\\u003c")
    template = (_FOLDER / "index.html").read_text(encoding="utf-8")
    return template.replace("@DATA@", data).encode()


def asset(name: str) -> bytes:
    """Return one of `ASSETS`."""
    return (_FOLDER / name).read_bytes()
