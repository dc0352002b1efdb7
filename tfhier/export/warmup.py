"""Requests that TF Serving replays when it loads a model, before the first user's."""

from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2


def write(path: Path, requests: dict[str, dict[str, np.ndarray | bytes]]) -> None:
    """Write warm-up requests as TF Serving reads them: TFRecords of PredictionLog.

    Args:
        path: Path of `assets.extra/tf_serving_warmup_requests` in a SavedModel.
        requests: Dict of signature -> {input: array or bytes}, one clip each.
    """
    with tf.io.TFRecordWriter(str(path)) as file:
        for signature, inputs in requests.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.signature_name = signature
            for name, value in inputs.items():
                row = [value] if isinstance(value, bytes) else value[None]
                request.inputs[name].CopyFrom(tf.make_tensor_proto(row))
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            file.write(log.SerializeToString())
