"""SavedModels behind TensorFlow Serving's REST and gRPC interfaces.

`serve` answers as `tensorflow_model_server` does, so that a client of the one works
with the other. What it lacks of it: Classify and Regress beyond their errors, labels of
versions, several versions at once, and a new configuration while it runs.
"""

from tfhier.serve.options import Options
from tfhier.serve.server import Server, serve

__all__ = ["Options", "Server", "serve"]
