"""What is in a `.tflite` file, read without TensorFlow."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from tfhier import console

# The front end's layer, in the names of its operations behind a slash.
FRONT_END = "log_mel"


def operations(content: bytes) -> list[tuple[str, str]]:
    """Return (kind, name) of a file's operations, in their order.

    An operation is known by the names of the tensors that it gives, a semicolon behind
    each, as the quantiser knows it.
    """
    model = schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
    graph = model.subgraphs[0]
    codes = {
        value: name
        for name, value in vars(schema.BuiltinOperator).items()
        if not name.startswith("_")
    }
    found = []
    for item in graph.operators:
        code = model.operatorCodes[item.opcodeIndex]
        kind = codes[max(code.builtinCode, code.deprecatedBuiltinCode)]
        names = [graph.tensors[place].name.decode() for place in item.outputs]
        found.append((kind, "".join(f"{name};" for name in names)))
    return found


def scores(content: bytes, waveform: np.ndarray) -> dict[str, np.ndarray]:
    """Return LiteRT's {level: scores (labels,)} of a waveform (samples,)."""
    with console.without_native_messages():
        interpreter = Interpreter(model_content=content)
        run = interpreter.get_signature_runner("serving_default")
        found = run(waveform=waveform[None])
    return {level: np.array(each[0]) for level, each in found.items()}
