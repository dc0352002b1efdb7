"""Tag a WAV file over gRPC, as any client of TensorFlow Serving does.

    python grpc_client.py HOST:PORT MODEL FILE.wav

Needs tensorflow-serving-api and nothing of the server's code. Prints a line a level:
its name and its scores.
"""

import sys
from pathlib import Path

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc


def main(address: str, model: str, path: str) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = "wav_bytes"
    request.inputs["wav"].CopyFrom(tf.make_tensor_proto([Path(path).read_bytes()]))
    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        try:
            response = stub.Predict(request, timeout=30)
        except grpc.RpcError as error:
            sys.exit(f"{error.code().name}: {error.details()}")
    for level, tensor in sorted(response.outputs.items()):
        print(level, *(f"{score:.9g}" for score in tensor.float_val))


if __name__ == "__main__":
    main(*sys.argv[1:])
