"""Answers of a running server that speaks TF Serving's REST API."""

import base64
import contextlib
import http.client
import json
import os
import re
import struct
import urllib.error
import urllib.parse
import urllib.request

import numpy as np

from tfhier.contract import Contract
from tfhier.errors import InputError

TOKEN = "TFHIER_SERVER_TOKEN"
_SECONDS = 120.0
_URL = re.compile(
    r"(?P<scheme>https?://)(?:(?P<user>[^/?#]*)@)?"
    r"(?P<place>[^/?#@]+(?:/[^?#]*)?/v1/models/[^/:?#]+(?:/versions/[0-9]+)?)/*"
)
_FLOAT = 3  # WAV's number for floating-point samples


class ServerEngine:
    """A tagger behind `tfhier serve` or TF Serving, see `tfhier.engines`.

    What a proxy before the server asks for comes with the address, `user:password@`
    before the host, or is a token in the environment variable TFHIER_SERVER_TOKEN.

    Args:
        url: str. Of the model: `http://HOST:PORT/v1/models/NAME`, with any path of a
            proxy before `/v1`; or of one version: `.../versions/2`.

    Raises:
        InputError: The server cannot be reached, or the model is not one of ours.
    """

    cuts_windows = True

    def __init__(self, url: str):
        found = _URL.fullmatch(url)
        if not found:
            raise InputError(
                "A model on a server is named http://HOST:PORT/v1/models/NAME. "
                f"Received: {re.sub('//[^/]*@', '//', url)}"
            )
        self._url = found["scheme"] + found["place"]
        self._authorization = _authorization(found["user"])
        # A later version may name its scores otherwise than the contract that is read
        # now: only the version that is there is ever asked.
        self._url += self._version()
        outputs = self._ask("contract", json.dumps([""]))
        try:
            self.contract = Contract.from_json(outputs[0])
        except (ValueError, TypeError, LookupError) as error:
            raise InputError(
                f"The model at {self._url} has a contract that cannot be read "
                f"({error})."
            ) from None
        self.min_samples = self.contract.min_samples

    def answers(
        self, waveforms: np.ndarray, *, only_scores: bool = False
    ) -> dict[str, np.ndarray]:
        """Return scores and embedding: arrays (batch, ...) by name."""
        waveforms = np.asarray(waveforms, np.float32)
        rate, levels = self.contract.sample_rate, self.contract.taxonomy.levels
        found = self._ask("wav_bytes", _as_files(waveforms, rate))
        if not isinstance(found, dict):  # one level, which the protocol does not name
            found = {levels[0]: found}
        if not only_scores:
            # There is no signature that takes files for it.
            found["embedding"] = self._ask("embedding", _as_numbers(waveforms))
        names = levels if only_scores else (*levels, "embedding")
        try:
            return {name: np.array(found[name], np.float32) for name in names}
        except (ValueError, TypeError, LookupError) as error:
            raise self._strange(error) from None

    def _version(self) -> str:
        """Return the end of the address of the version in use, "" if it is not told."""
        if "/versions/" in self._url:
            return ""
        request = self._request("/metadata", None)
        # Whoever cannot tell its version, or is no such server, is asked for answers.
        with contextlib.suppress(
            OSError, http.client.HTTPException, ValueError, LookupError, TypeError
        ):
            with urllib.request.urlopen(request, timeout=_SECONDS) as reply:
                version = json.load(reply)["model_spec"]["version"]
            return f"/versions/{int(version)}"
        return ""

    def _request(self, end: str, body: str | None) -> urllib.request.Request:
        request = urllib.request.Request(
            self._url + end,
            data=None if body is None else body.encode(),
            headers={"Content-Type": "application/json"},
        )
        if self._authorization:
            # Not for another server that this one might send us to.
            request.add_unredirected_header("Authorization", self._authorization)
        return request

    def _ask(self, signature: str, inputs: str) -> dict | list:
        """Return what a signature answers: columns by name, or the only one."""
        body = f'{{"signature_name": "{signature}", "inputs": {inputs}}}'
        request = self._request(":predict", body)
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as reply:
                return json.load(reply)["outputs"]
        except urllib.error.HTTPError as error:
            hint = ""
            if error.code == http.HTTPStatus.UNAUTHORIZED:
                hint = f" Give http://USER:PASSWORD@HOST/... or set {TOKEN}."
            elif error.code == http.HTTPStatus.NOT_FOUND and "/versions/" in self._url:
                hint = " Another version may be served now: load the model again."
            raise InputError(
                f"The server at {self._url} refused ({error.code}): {_said(error)}"
                + hint
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


def _authorization(user: str | None) -> str:
    """Return the header's value for `user:password` of an address or for a token."""
    if user is not None:
        return f"Basic {_base64(urllib.parse.unquote_to_bytes(user))}"
    token = os.environ.get(TOKEN, "").strip()
    if not re.fullmatch("[!-~]*", token):
        raise InputError(
            f"{TOKEN} holds spaces or characters beyond ASCII, which no token has. "
            "Set it again."
        )
    return f"Bearer {token}" if token else ""


def _as_files(waveforms: np.ndarray, rate: int) -> str:
    """Return waveforms as JSON of WAV files of 32-bit floats: 5.3 bytes a sample."""
    rows = [{"b64": _base64(_wav(each, rate))} for each in waveforms]
    return json.dumps(rows)


def _wav(waveform: np.ndarray, rate: int) -> bytes:
    """Return a WAV file whose samples are those of a float32 waveform, bit by bit."""
    samples = waveform.astype("<f4").tobytes()
    size = waveform.itemsize
    form = struct.pack("<HHIIHH", _FLOAT, 1, rate, rate * size, size, 8 * size)
    chunks = (
        b"WAVE" + b"fmt " + struct.pack("<I", len(form)) + form
        + b"data" + struct.pack("<I", len(samples)) + samples
    )  # fmt: skip
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def _as_numbers(waveforms: np.ndarray) -> str:
    """Return waveforms as JSON, in the fewest digits that give the same float32."""
    rows = (b",".join(each.astype("S").tolist()).decode() for each in waveforms)
    return "[" + ",".join(f"[{row}]" for row in rows) + "]"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
