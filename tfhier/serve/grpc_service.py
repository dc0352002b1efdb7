"""The gRPC door: PredictionService and ModelService."""

import functools
from collections.abc import Callable

import grpc
from grpc import StatusCode
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tfhier.serve import core as shared
from tfhier.serve.core import Core
from tfhier.serve.models import LoadedVersion
from tfhier.serve.proto_tensors import from_proto, to_proto
from tfhier.serve.signatures import DEFAULT
from tfhier.serve.status import StatusError, fault, invalid
from tfhier.serve.watch import Asked


def add_services(server: grpc.Server, core: Core) -> None:
    """Let a server answer for the models of a core."""
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        _PredictionService(core), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        _ModelService(core), server
    )


def _answering(called: str = "") -> Callable:
    """Watch a method, and turn its errors into the status of its call.

    Args:
        called: str. The method's name among the figures; "" if it computes nothing.
    """

    def decorate(method: Callable) -> Callable:
        @functools.wraps(method)
        def answer(self, request: object, context: grpc.ServicerContext) -> object:
            try:
                with self._core.watch.request(Asked("gRPC", called)) as asked:
                    return method(self, request, asked)
            except StatusError as error:
                refusal = error
            # One request must never end the others, whatever it stumbled upon.
            except Exception as error:
                refusal = fault(error)
            context.abort(refusal.code, refusal.message)

        return answer

    return decorate


# The names of the methods are those of the services' definitions.
class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, core: Core):
        self._core = core

    @_answering("predict")
    def Predict(self, request, asked):  # noqa: N802
        servable = self._servable(request, asked)
        with self._core.gate.place():
            name = request.model_spec.signature_name or DEFAULT
            signature = servable.signature(
                name,
                missing=StatusError(
                    StatusCode.FAILED_PRECONDITION,
                    f'Serving signature key "{name}" not found.',
                ),
            )
            asked.signature = name
            max_bytes = self._core.options.max_request_bytes
            inputs = {
                key: from_proto(key, proto, max_bytes=max_bytes)
                for key, proto in request.inputs.items()
            }
            outputs = self._core.predict(
                signature, inputs, output_filter=list(request.output_filter)
            )
        response = predict_pb2.PredictResponse()
        response.model_spec.name = servable.name
        response.model_spec.version.value = servable.version
        response.model_spec.signature_name = name
        for key, array in outputs.items():
            response.outputs[key].CopyFrom(to_proto(array))
        return response

    @_answering()
    def GetModelMetadata(self, request, asked):  # noqa: N802
        servable = self._servable(request, asked)
        if not request.metadata_field:
            raise invalid(
                "GetModelMetadataRequest must specify at least one metadata_field"
            )
        for field in request.metadata_field:
            if field != shared.SIGNATURE_FIELD:
                raise invalid(f"Metadata field {field} is not supported")
        return shared.metadata(servable)

    @_answering("classify")
    def Classify(self, request, asked):  # noqa: N802
        raise self._refusal(request, "classify", asked)

    @_answering("regress")
    def Regress(self, request, asked):  # noqa: N802
        raise self._refusal(request, "regress", asked)

    @_answering("multi_inference")
    def MultiInference(self, request, asked):  # noqa: N802
        if not request.tasks:
            raise invalid("MultiInferenceRequest must have at least one task.")
        task = request.tasks[0]
        method = task.method_name.rpartition("/")[2]
        if method not in ("classify", "regress"):
            raise StatusError(
                StatusCode.UNIMPLEMENTED, f"Unsupported signature: {task.method_name}"
            )
        raise self._refusal(task, method, asked)

    def _refusal(self, request: object, method: str, asked: Asked) -> StatusError:
        servable = self._servable(request, asked)
        return shared.refuse_examples(
            servable, request.model_spec.signature_name, method
        )

    def _servable(self, request: object, asked: Asked) -> LoadedVersion:
        name, version, label = _spec(request)
        return self._core.find(asked, name, version=version, label=label)


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, core: Core):
        self._core = core

    @_answering()
    def GetModelStatus(self, request, asked):  # noqa: N802
        name, version, label = _spec(request)
        if label:
            raise invalid(f"Unrecognized servable version label: {label}")
        return shared.status(self._core.models.states(name, version=version))

    @_answering()
    def HandleReloadConfigRequest(self, request, asked):  # noqa: N802
        raise StatusError(
            StatusCode.UNIMPLEMENTED,
            "The models are those that the server was started with. Start it again "
            "with others.",
        )


def _spec(request: object) -> tuple[str, int | None, str]:
    """Return name, version (None for the latest) and label of the model asked for."""
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    spec = request.model_spec
    version = spec.version.value if spec.HasField("version") else None
    return spec.name, version, spec.version_label
