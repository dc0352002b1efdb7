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
METRICS_PATH = "/monitoring/prometheus/metrics"
# What starts a server; the second needs the first beside it.
STARTS = ("compose.yaml", "compose.batching.yaml", "kubernetes.yaml")


def read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def message_type(name: str, **messages: dict[str, str]) -> type:
    """A message that tensorflow-serving-api leaves out.

    Args:
        name: str. Of the message that is wanted.
        messages: By name, each {field: type} in the order of the fields' numbers. A
            type that is no scalar is another message.
    """
    field = descriptor_pb2.FieldDescriptorProto
    scalars = {"bool": field.TYPE_BOOL, "int64": field.TYPE_INT64}
    scalars["string"] = field.TYPE_STRING
    file = descriptor_pb2.FileDescriptorProto(
        name="left_out.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=[wrappers.DESCRIPTOR.name],
    )
    for called, fields in messages.items():
        message = file.message_type.add(name=called)
        for number, (key, kind) in enumerate(fields.items(), start=1):
            scalar = kind.removeprefix("repeated ")
            message.field.add(
                name=key,
                number=number,
                type=scalars.get(scalar, field.TYPE_MESSAGE),
                label=(
                    field.LABEL_OPTIONAL if kind == scalar else field.LABEL_REPEATED
                ),
                type_name=None if scalar in scalars else kind,
            )
    pool = descriptor_pool.DescriptorPool()
    wrappers_file = descriptor_pb2.FileDescriptorProto()
    wrappers.DESCRIPTOR.CopyToProto(wrappers_file)
    pool.Add(wrappers_file)
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName(f"tensorflow.serving.{name}")
    )


# Names and numbers of fields as in session_bundle_config.proto and
# monitoring_config.proto of tensorflow/serving.
BATCHING = message_type(
    "BatchingParameters",
    BatchingParameters={
        "max_batch_size": ".google.protobuf.Int64Value",
        "batch_timeout_micros": ".google.protobuf.Int64Value",
        "max_enqueued_batches": ".google.protobuf.Int64Value",
        "num_batch_threads": ".google.protobuf.Int64Value",
        "thread_pool_name": ".google.protobuf.StringValue",
        "allowed_batch_sizes": "repeated int64",
        "pad_variable_length_inputs": "bool",
    },
)
MONITORING = message_type(
    "MonitoringConfig",
    PrometheusConfig={"enable": "bool", "path": "string"},
    MonitoringConfig={"prometheus_config": ".tensorflow.serving.PrometheusConfig"},
)


def test_models_config_is_a_model_server_config():
    config = text_format.Parse(
        read("models.config"), model_server_config_pb2.ModelServerConfig()
    )
    (model,) = config.model_config_list.config
    assert (model.name, model.model_platform) == ("tagger", "tensorflow")
    assert model.base_path == "/models/tagger"


def test_batching_config_joins_without_padding():
    config = text_format.Parse(read("batching.config"), BATCHING())
    assert config.max_batch_size.value > 1
    assert config.batch_timeout_micros.value > 0
    assert config.num_batch_threads.value >= 1
    # It would change scores: clips would get samples that they do not have.
    assert not config.pad_variable_length_inputs
    assert not config.allowed_batch_sizes
    with pytest.raises(text_format.ParseError, match="no field named"):
        text_format.Parse("max_batch { value: 1 }", BATCHING())


def test_monitoring_config_turns_the_page_of_figures_on():
    config = text_format.Parse(read("monitoring.config"), MONITORING())
    assert config.prometheus_config.enable
    assert config.prometheus_config.path == METRICS_PATH


def test_the_image_is_pinned_and_the_same():
    images = [
        image
        for name in ("compose.yaml", "kubernetes.yaml")
        for image in IMAGE.findall(read(name))
    ]
    assert len(images) == 2
    assert len(set(images)) == 1
    assert re.fullmatch(r"tensorflow/serving:2\.\d+\.\d+", images[0])


# -- Arguments of the server -----------------------------------------------------------


def flags(arguments: list[str]) -> dict[str, str]:
    return dict(argument.removeprefix("--").split("=", 1) for argument in arguments)


def service(name: str) -> dict:
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load(read(name))["services"]["tagger"]


def manifests() -> dict[str, dict]:
    yaml = pytest.importorskip("yaml")
    return {each["kind"]: each for each in yaml.safe_load_all(read("kubernetes.yaml"))}


def arguments(name: str) -> list[str]:
    """What the server is started with, entry point and all."""
    if name == "kubernetes.yaml":
        template = manifests()["Deployment"]["spec"]["template"]
        (container,) = template["spec"]["containers"]
        return container["command"] + container["args"]
    # A command of the second file takes the place of the first one's.
    return service("compose.yaml")["entrypoint"] + service(name)["command"]


@pytest.mark.parametrize("name", STARTS)
def test_the_two_flags_of_batching_come_together_or_not_at_all(name):
    """The server refuses to start with a file and without the word."""
    given = flags(arguments(name)[1:])
    asked = {"enable_batching", "batching_parameters_file"} & set(given)
    if name == "compose.batching.yaml":
        assert given["enable_batching"] == "true"
        assert given["batching_parameters_file"] == "/config/batching.config"
    else:
        assert not asked


@pytest.mark.parametrize("name", STARTS)
def test_the_server_is_started_without_a_shell_and_with_its_ports(name):
    program, *others = arguments(name)
    assert program == "tensorflow_model_server"
    given = flags(others)
    assert len(given) == len(others)
    assert (given["port"], given["rest_api_port"]) == ("8500", "8501")


def test_batching_changes_nothing_else():
    plain = flags(arguments("compose.yaml")[1:])
    joined = flags(arguments("compose.batching.yaml")[1:])
    extra = {"enable_batching", "batching_parameters_file"}
    assert {key: joined[key] for key in joined.keys() - extra} == plain


def test_compose():
    plain, override = service("compose.yaml"), service("compose.batching.yaml")
    entries = plain["volumes"] + override["volumes"]
    mounts = {entry.split(":")[-2]: entry for entry in entries}
    given = flags(arguments("compose.batching.yaml")[1:])
    paths = [path for path in given.values() if path.startswith("/config/")]
    assert len(paths) == 3
    for path in paths:
        assert (FOLDER / mounts[path].split(":")[0]).is_file()
    assert "/models" in mounts
    assert all(entry.endswith(":ro") for entry in entries)
    assert all(port.startswith("127.0.0.1:") for port in plain["ports"])
    # As the first process of its container the server would never hear of a stop.
    assert plain["init"] is True
    num_cores = plain["deploy"]["resources"]["limits"]["cpus"]
    for kind in ("intra", "inter"):
        assert given[f"tensorflow_{kind}_op_parallelism"] == num_cores


def test_kubernetes():
    found = manifests()
    assert set(found) == {"Deployment", "Service", "PersistentVolumeClaim"}
    template = found["Deployment"]["spec"]["template"]
    labels = template["metadata"]["labels"]
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert found["Service"]["spec"]["selector"] == labels
    (container,) = template["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": 8500, "rest": 8501}
    for port in found["Service"]["spec"]["ports"]:
        assert ports[port["targetPort"]] == port["port"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert (asked["path"], asked["port"]) == ("/v1/models/tagger", "rest")
    told = template["metadata"]["annotations"]
    assert told["prometheus.io/scrape"] == "true"
    assert told["prometheus.io/path"] == METRICS_PATH
    assert told["prometheus.io/port"] == str(ports["rest"])


def test_kubernetes_mounts_what_the_server_reads():
    found = manifests()
    pod = found["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounted == {"models": "/models", "config": "/config"}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert set(mounted) == set(volumes)
    paths = [
        path
        for path in flags(container["args"]).values()
        if path.startswith("/config/")
    ]
    # Batching is a matter of adding its two arguments: the file is there.
    for path in (*paths, "/config/batching.config"):
        name = path.removeprefix("/config/")
        assert (FOLDER / name).is_file()
        assert f"--from-file=docs/serving/{name}" in read("kubernetes.yaml")
    claim = found["PersistentVolumeClaim"]
    called = volumes["models"]["persistentVolumeClaim"]["claimName"]
    assert claim["metadata"]["name"] == called
    assert claim["spec"]["accessModes"] == ["ReadOnlyMany"]


def test_kubernetes_ends_a_pod_after_its_requests():
    pod = manifests()["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    program, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "sleep"
    # What a request over REST may take where --rest_api_timeout_in_ms says nothing.
    assert 30 < int(seconds) < pod["terminationGracePeriodSeconds"]
    assert "rest_api_timeout_in_ms" not in flags(container["args"])
    assert pod["shareProcessNamespace"] is True
    limits = container["resources"]["limits"]
    for kind in ("intra", "inter"):
        given = flags(container["args"])[f"tensorflow_{kind}_op_parallelism"]
        assert given == limits["cpu"]


@pytest.mark.parametrize("name", STARTS)
def test_yaml_without_a_parser(name):
    """What a parser would refuse first: tabs, odd indents, files that are not there."""
    text = read(name)
    assert "\t" not in text
    for line in text.splitlines():
        assert (len(line) - len(line.lstrip(" "))) % 2 == 0, line
    assert "--model_config_file=/config/models.config" in text
    assert "--monitoring_config_file=/config/monitoring.config" in text
    assert "pad_variable_length_inputs" not in text
    lines = [line.strip() for line in text.splitlines()]
    words = ["--enable_batching=true", "--batching_parameters_file=/config/batching.co"]
    is_given = [any(line.startswith(f"- {word}") for line in lines) for word in words]
    assert is_given == 2 * [name == "compose.batching.yaml"]
