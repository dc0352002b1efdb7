"""What both doors share: models, the gate, and how a prediction is made."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from tfhier.serve import signatures
from tfhier.serve.batching import Batcher
from tfhier.serve.gate import Gate
from tfhier.serve.models import LoadedVersion, Models, VersionState
from tfhier.serve.options import Options
from tfhier.serve.signatures import Signature
from tfhier.serve.status import StatusError, invalid
from tfhier.serve.watch import Asked, Watch

SIGNATURE_FIELD = "signature_def"
_METHOD = "tensorflow/serving/{}"
_KINDS = {"classify": "classification", "regress": "regression"}


@dataclass(frozen=True)
class Core:
    """What both doors share.

    Args:
        models: Models.
        gate: Gate.
        compute: Function of a signature and arrays by name that returns arrays by name.
        options: Options.
        reading: Semaphore. Held while JSON is read or written, by as many threads as
            may compute. Not the one of computing: who waits for a free thread would
            keep others from joining the batch that waits for it too.
        watch: Watch.
    """

    models: Models
    gate: Gate
    compute: Callable[[Signature, Mapping[str, np.ndarray]], dict[str, np.ndarray]]
    options: Options
    reading: threading.Semaphore
    watch: Watch

    @classmethod
    def of(cls, models: Models, options: Options) -> "Core":
        """Return what serves the models under the options."""
        compute = Batcher(
            signatures.compute,
            num_threads=options.num_threads,
            max_batch_size=options.max_batch_size if options.batching else 1,
            timeout_seconds=options.batch_timeout_ms / 1_000,
        )
        gate = Gate(options.max_in_flight)
        reading = threading.Semaphore(options.num_threads)
        watch = Watch(logs_all=options.log_requests)
        return cls(models, gate, compute, options, reading, watch)

    def find(
        self, asked: Asked, name: str, *, version: int | None, label: str
    ) -> LoadedVersion:
        """Return what answers for a model, and note it; arguments as `Models.find`."""
        if self.models.serves(name):
            asked.model = name
        servable = self.models.find(name, version=version, label=label)
        asked.version = servable.version
        return servable

    def predict(
        self,
        signature: Signature,
        inputs: Mapping[str, np.ndarray],
        *,
        output_filter: list[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """Return the outputs of a signature.

        Args:
            signature: Signature.
            inputs: Arrays by name.
            output_filter: Names of the wanted outputs; all of them for none.

        Raises:
            StatusError: Inputs or filter do not fit, there are too many rows, or the
                graph refuses the inputs.
        """
        wanted = list(output_filter or ())
        signatures.check(signature, inputs)
        for array in inputs.values():
            if array.ndim > 1 or (array.ndim == 1 and array.dtype == object):
                self.check_rows(len(array))
        signatures.check_filter(signature, wanted)
        return signatures.choose(signature, self.compute(signature, inputs), wanted)

    def check_rows(self, num_rows: int) -> None:
        """Refuse a request of too many rows.

        Raises:
            StatusError: INVALID_ARGUMENT.
        """
        if num_rows > self.options.max_rows:
            raise invalid(
                f"The request has {num_rows} rows, and {self.options.max_rows} are the "
                "limit. Send several requests, or start the server with a higher limit."
            )


def refuse_examples(
    servable: LoadedVersion, signature_name: str, method: str
) -> StatusError:
    """Return why a signature is not classified or regressed with.

    Args:
        servable: LoadedVersion.
        signature_name: str. "" for the default.
        method: str. "classify" or "regress".
    """
    signature = servable.signature(
        signature_name,
        missing=invalid(
            "No signature was found with the name: "
            f"{signature_name or signatures.DEFAULT}"
        ),
    )
    return invalid(
        f"Expected {_KINDS[method]} signature method_name to be "
        f"{_METHOD.format(method)}. Was: {signature.definition.method_name}. This "
        "server answers predict only."
    )


def metadata(
    servable: LoadedVersion,
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Return the signatures of a model as a message."""
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = servable.name
    response.model_spec.version.value = servable.version
    response.metadata[SIGNATURE_FIELD].Pack(_definitions(servable))
    return response


def metadata_json(servable: LoadedVersion) -> dict:
    """Return the signatures of a model as the official server writes them in JSON."""
    spec = metadata(servable).model_spec
    return {
        "model_spec": _plain(spec),
        "metadata": {SIGNATURE_FIELD: _plain(_definitions(servable))},
    }


def status(
    states: Mapping[int, VersionState],
) -> get_model_status_pb2.GetModelStatusResponse:
    """Return where versions stand as a message."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for version, found in states.items():
        item = response.model_version_status.add(version=version)
        item.state = get_model_status_pb2.ModelVersionStatus.State.Value(found.state)
        if found.problem:
            item.status.error_code = 2  # UNKNOWN, as for whatever does not load
            item.status.error_message = found.problem
        else:
            item.status.SetInParent()
    return response


def status_json(states: Mapping[int, VersionState]) -> dict:
    """Return where versions stand as the official server writes it in JSON."""
    return _plain(status(states))


def _definitions(servable: LoadedVersion) -> get_model_metadata_pb2.SignatureDefMap:
    return get_model_metadata_pb2.SignatureDefMap(
        signature_def=dict(servable.definitions)
    )


def _plain(message: object) -> dict:
    return json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )
