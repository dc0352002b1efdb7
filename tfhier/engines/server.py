"""Answers of a running server that speaks TF Serving's REST API."""

import contextlib
import http.client
import json
import re
import urllib.error
import urllib.request

import numpy as np

from tfhier.contract import Contract
from tfhier.errors import InputError

_SECONDS = 120.0
_URL = re.compile(r"https?://[^/]+/v1/models/[^/:]+(/versions/[0-9]+)?")


class ServerEngine:
    """A tagger behind `tfhier serve` or TF Serving, see `tfhier.engines`.

    Args:
        url: str. Of the model: `http://HOST:PORT/v1/models/NAME`, or of one version:
            `.../versions/2`.

    Raises:
        InputError: The server cannot be reached, or the model is not one of ours.
    """

    cuts_windows = True

    def __init__(self, url: str):
        self._url = url.rstrip("/")
        if not _URL.fullmatch(self._url):
            raise InputError(
                "A model on a server is named http://HOST:PORT/v1/models/NAME. "
                f"Received: {url}"
            )
        found = self._ask("contract", [""])
        try:
            self.contract = Contract.from_json(found[0])
        except (ValueError, TypeError, LookupError) as error:
            raise InputError(
                f"The model at {url} has a contract that cannot be read ({error})."
            ) from None
        self.min_samples = self.contract.min_samples

    def answers(
        self, waveforms: np.ndarray, *, only_scores: bool = False
    ) -> dict[str, np.ndarray]:
        """Return scores and embedding: arrays (batch, ...) by name."""
        found = self._ask("serving_default", waveforms.tolist())
        levels = self.contract.taxonomy.levels
        if not isinstance(found, dict):  # one level, which the protocol does not name
            found = {levels[0]: found}
        if not only_scores:
            found["embedding"] = self._ask("embedding", waveforms.tolist())
        names = levels if only_scores else (*levels, "embedding")
        try:
            return {name: np.array(found[name], np.float32) for name in names}
        except (ValueError, TypeError, LookupError) as error:
            raise self._strange(error) from None

    def _ask(self, signature: str, inputs: list) -> dict | list:
        """Return what a signature answers: columns by name, or the only one."""
        body = json.dumps({"signature_name": signature, "inputs": inputs}).encode()
        request = urllib.request.Request(
            f"{self._url}:predict",
            data=body,
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as reply:
                return json.load(reply)["outputs"]
        except urllib.error.HTTPError as error:
            raise InputError(
                f"The server at {self._url} refused ({error.code}): {_said(error)}"
            ) from None
        except (
            OSError, http.client.HTTPException, ValueError, LookupError, TypeError
        ) as error:  # fmt: skip
            raise self._strange(error) from None

    def _strange(self, error: Exception) -> InputError:
        """Return the one error for a server that is none, or of another kind."""
        reason = " ".join(str(error).split()) or type(error).__name__
        return InputError(
            f"The server at {self._url} does not answer as TF Serving does ({reason}). "
            "Is it running, and is the address right?"
        )


def _said(error: urllib.error.HTTPError) -> str:
    """Return in one line what a server says of a request that it refused."""
    text = error.read(2_000).decode("utf-8", "replace")
    # Anything else is a proxy's page, say.
    with contextlib.suppress(ValueError, LookupError, TypeError):
        text = json.loads(text)["error"]
    return " ".join(str(text).split())
