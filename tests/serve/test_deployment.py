"""The files for the official image: read by the messages and parsers they are for."""

import re
from pathlib import Path

import pytest
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
)
from google.protobuf import wrappers_pb2 as wrappers
from tensorflow_serving.config import model_server_config_pb2

FOLDER = Path(__file__).parents[2] / "docs" / "serving"
IMAGE = re.compile(r"image: (\S+)$", re.M)


def read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def batching_parameters() -> type:
    """The message BatchingParameters, which tensorflow-serving-api leaves out.

    Names and numbers of its fields are those of session_bundle_config.proto of
    tensorflow/serving.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name="batching.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=[wrappers.DESCRIPTOR.name],
    )
    message = file.message_type.add(name="BatchingParameters")
    field = descriptor_pb2.FieldDescriptorProto
    for number, (name, kind) in enumerate(
        (
            ("max_batch_size", "Int64Value"),
            ("batch_timeout_micros", "Int64Value"),
            ("max_enqueued_batches", "Int64Value"),
            ("num_batch_threads", "Int64Value"),
            ("thread_pool_name", "StringValue"),
        ),
        start=1,
    ):
        message.field.add(
            name=name,
            number=number,
            type=field.TYPE_MESSAGE,
            label=field.LABEL_OPTIONAL,
            type_name=f".google.protobuf.{kind}",
        )
    message.field.add(
        name="allowed_batch_sizes",
        number=6,
        type=field.TYPE_INT64,
        label=field.LABEL_REPEATED,
    )
    message.field.add(
        name="pad_variable_length_inputs",
        number=7,
        type=field.TYPE_BOOL,
        label=field.LABEL_OPTIONAL,
    )
    pool = descriptor_pool.DescriptorPool()
    wrappers_file = descriptor_pb2.FileDescriptorProto()
    wrappers.DESCRIPTOR.CopyToProto(wrappers_file)
    pool.Add(wrappers_file)
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName("tensorflow.serving.BatchingParameters")
    )


def test_models_config_is_a_model_server_config():
    config = text_format.Parse(
        read("models.config"), model_server_config_pb2.ModelServerConfig()
    )
    (model,) = config.model_config_list.config
    assert (model.name, model.model_platform) == ("tagger", "tensorflow")
    assert model.base_path == "/models/tagger"


def test_batching_config_joins_without_padding():
    config = text_format.Parse(read("batching.config"), batching_parameters()())
    assert config.max_batch_size.value > 1
    assert config.batch_timeout_micros.value > 0
    assert config.num_batch_threads.value >= 1
    # It would change scores: clips would get samples that they do not have.
    assert not config.pad_variable_length_inputs
    assert not config.allowed_batch_sizes
    with pytest.raises(text_format.ParseError, match="no field named"):
        text_format.Parse("max_batch { value: 1 }", batching_parameters()())


def test_the_image_is_pinned_and_the_same():
    images = [
        image
        for name in ("compose.yaml", "kubernetes.yaml")
        for image in IMAGE.findall(read(name))
    ]
    assert len(images) == 2
    assert len(set(images)) == 1
    assert re.fullmatch(r"tensorflow/serving:2\.\d+\.\d+", images[0])


def flags(arguments: list[str]) -> dict[str, str]:
    return dict(argument.removeprefix("--").split("=", 1) for argument in arguments)


def test_compose():
    yaml = pytest.importorskip("yaml")
    (service,) = yaml.safe_load(read("compose.yaml"))["services"].values()
    given = flags(service["command"])
    mounts = {entry.split(":")[-2]: entry for entry in service["volumes"]}
    for flag in ("model_config_file", "batching_parameters_file"):
        source = mounts[given[flag]].split(":")[0]
        assert (FOLDER / source).is_file()
    assert given["enable_batching"] == "${BATCHING:-false}"
    assert "/models" in mounts
    assert all(entry.endswith(":ro") for entry in service["volumes"])
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_kubernetes():
    yaml = pytest.importorskip("yaml")
    deployment, service = yaml.safe_load_all(read("kubernetes.yaml"))
    assert (deployment["kind"], service["kind"]) == ("Deployment", "Service")
    template = deployment["spec"]["template"]
    labels = template["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert service["spec"]["selector"] == labels
    (container,) = template["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": 8500, "rest": 8501}
    for port in service["spec"]["ports"]:
        assert ports[port["targetPort"]] == port["port"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert (asked["path"], asked["port"]) == ("/v1/models/tagger", "rest")
    assert {"requests", "limits"} <= set(container["resources"])
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounted == {"models": "/models", "config": "/config"}
    assert set(mounted) == {volume["name"] for volume in template["spec"]["volumes"]}
    for path in flags(container["args"]).values():
        if path.startswith("/config/"):
            assert (FOLDER / path.removeprefix("/config/")).is_file()


@pytest.mark.parametrize("name", ["compose.yaml", "kubernetes.yaml"])
def test_yaml_without_a_parser(name):
    """What a parser would refuse first: tabs, odd indents, files that are not there."""
    text = read(name)
    assert "\t" not in text
    for line in text.splitlines():
        assert (len(line) - len(line.lstrip(" "))) % 2 == 0, line
    assert "--model_config_file=/config/models.config" in text
    assert "--batching_parameters_file=/config/batching.config" in text
    assert "pad_variable_length_inputs" not in text
