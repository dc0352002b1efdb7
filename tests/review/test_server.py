"""The server: what it answers, what it refuses, and what a kill leaves."""

import contextlib
import csv
import http.client
import io
import json
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import soundfile

from tests.review import made
from tfhier import event_tables
from tfhier.errors import InputError
from tfhier.review import page
from tfhier.review.server import Server, serve
from tfhier.review.verdicts import reviewed_path

AT = "2024-05-12T05:13:44Z"


class Client:
    """Asks a server as a browser does."""

    def __init__(self, port: int):
        self.port = port
        _, _, content = self.get("/health")
        self.table = json.loads(content)["table"]

    def ask(self, method, path, body=None, **headers):
        """Return (status, headers, content)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def get(self, path, **headers):
        return self.ask("GET", path, **headers)

    def give(self, *entries, table=None, **headers):
        body = json.dumps({"table": table or self.table, "verdicts": entries})
        headers = {"Content-Type": "application/json", **headers}
        return self.ask("POST", "/verdicts", body, **headers)

    def told(self) -> dict:
        _, _, content = self.get("/")
        data = re.search(rb'id="data">(.*)</script>', content)[1]
        return json.loads(data)


@pytest.fixture
def path(tmp_path):
    return made.write(tmp_path)


@pytest.fixture
def client(path):
    server = Server(made.session(path), 0)
    thread = threading.Thread(target=serve, args=[server])
    thread.start()
    yield Client(server.server_port)
    server.shutdown()
    thread.join()


def test_the_page_is_told_everything_and_runs_nothing_of_it(client):
    status, headers, content = client.get("/")
    assert status == 200
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert content.count(b"</script>") == 5  # its own
    assert b"<b>owl" not in content
    assert b"http://" not in content.replace(b"http://www.w3.org", b"")
    told = client.told()
    assert len(told["events"]) == len(made.NAMES) * len(made.events())
    labels = [event["label"] for event in told["events"][:5]]
    assert labels == [event.label for event in made.events()]
    assert [file["name"] for file in told["files"]] == [
        "SITE_20240512_050000.wav",
        '<img src=x onerror="document.title=1">\\n🦧 =1+1.wav',
        "caf\\udce9.wav",
        "missing_20240512_060000.wav",
    ]
    assert told["events"][2]["remark"] == "species uncertain"
    assert told["events"][1]["time"] == "2024-05-12 05:00:03"
    assert {each["name"]: each["above"] for each in told["labels"]}["gibbon"] == [
        "primate"
    ]


def test_everything_that_the_page_loads_is_there(client):
    _, _, content = client.get("/")
    for name in re.findall(rb'(?:src|href)="([\w.]+)"', content):
        status, headers, _ = client.get(f"/{name.decode()}")
        assert status == 200
        assert headers["Content-Type"].startswith(page.ASSETS[name.decode()])


def test_sound_and_picture_of_an_event(client):
    for number in (0, 6, 12):
        clip = f"/clips/{client.table}/{number}"
        status, headers, content = client.get(f"{clip}.wav")
        assert (status, headers["Content-Type"]) == (200, "audio/wav")
        waveform, rate = soundfile.read(io.BytesIO(content))
        event = client.told()["events"][number]
        assert rate == made.RATE
        assert len(waveform) == round((event["to"] - event["from"]) * rate)
        status, headers, content = client.get(f"{clip}.png")
        assert (status, headers["Content-Type"]) == (200, "image/png")
        assert content.startswith(b"\x89PNG")


def test_parts_of_a_sound(client):
    clip = f"/clips/{client.table}/0.wav"
    _, _, whole = client.get(clip)
    for asked, first, last in (
        ("bytes=0-", 0, len(whole) - 1),
        ("bytes=100-199", 100, 199),
        ("bytes=100-99999999", 100, len(whole) - 1),
    ):
        status, headers, content = client.get(clip, Range=asked)
        assert status == 206
        assert content == whole[first : last + 1]
        assert headers["Content-Range"] == f"bytes {first}-{last}/{len(whole)}"
    for asked in ("bytes=-5", "bytes=1-2,4-5", "bytes=99999999-", "cows=1-2"):
        assert client.get(clip, Range=asked)[::2] == (200, whole)
    assert client.get(clip, Range="bytes=5-4")[0] in (200, 206)


def test_a_missing_recording_is_told_for_its_events_only(client):
    missing = 3 * len(made.events())
    for kind in ("png", "wav"):
        status, _, content = client.get(f"/clips/{client.table}/{missing}.{kind}")
        assert status == 404
        assert b"missing_20240512_060000.wav: there is no such file" in content
    assert client.give([missing, "unsure", "", AT])[0] == 200
    assert client.get(f"/clips/{client.table}/0.png")[0] == 200


@pytest.mark.parametrize(
    "asked",
    [
        "/../events.csv",
        "/events.csv",
        "/page.py",
        "/page/review.js",
        "//etc/passwd",
        "/clips/{}/../../events.csv",
        "/clips/{}/0.flac",
        "/clips/{}/-1.png",
        "/clips/{}/99999.png",
        "/clips/{}/٣.png",
        "/clips/{}/0.png/",
        "/%2e%2e/events.csv",
    ],
)
def test_no_path_that_a_client_names_is_served(client, asked):
    asked = asked.format(client.table).encode().decode("latin-1")
    with contextlib.suppress(UnicodeEncodeError):
        assert client.get(asked)[0] == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8765"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "192.168.0.7:8765"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_other_hosts_and_origins_are_refused(client, headers):
    for path in ("/", "/health", "/review.js", f"/clips/{client.table}/0.wav"):
        status, _, content = client.get(path, **headers)
        assert (status, content) == (403, b"Open this page by its own address.")
    assert client.give([0, "unsure", "", AT], **headers)[0] == 403
    assert "verdict" not in client.told()["events"][0]


def test_its_own_addresses_are_taken(client):
    for host in (f"localhost:{client.port}", "127.0.0.1", f"[::1]:{client.port}"):
        headers = {"Host": host, "Origin": f"http://{host}"}
        assert client.give([0, "unsure", "", AT], **headers)[0] == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
def test_other_methods_are_refused(client, method):
    assert client.ask(method, "/")[0] == 501
    assert client.ask(method, "/verdicts")[0] == 501


@pytest.mark.parametrize(
    "entry",
    [
        [10**6, "unsure", "", AT],
        [-1, "unsure", "", AT],
        [True, "unsure", "", AT],
        ["0", "unsure", "", AT],
        [0, "maybe", "", AT],
        [0, "accepted", "", AT],
        [0, "accepted", "no label of the table", AT],
        [0, "accepted", ["gibbon"], AT],
        [0, "unsure", "", "yesterday"],
        [0, "unsure", "", "2024-99-12T05:13:44Z"],
        [0, "unsure", "", None],
        [0, "unsure", ""],
        {"event": 0},
        None,
    ],
)
def test_what_is_no_verdict_is_refused_and_none_beside_it_kept(client, path, entry):
    assert client.give([1, "unsure", "", AT], entry)[0] == 400
    assert not any("verdict" in event for event in client.told()["events"])
    assert not reviewed_path(path).with_suffix(".journal").exists()


def test_requests_that_are_no_verdicts_are_refused(client):
    kind = {"Content-Type": "application/json"}
    for body in (b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000):
        assert client.ask("POST", "/verdicts", body, **kind)[0] == 400
    assert client.ask("POST", "/verdicts", b"{}", **kind)[0] == 409
    assert client.ask("POST", "/verdicts", b"x" * (1 << 19), **kind)[0] == 413
    assert client.ask("POST", "/other", b"{}", **kind)[0] == 404
    for other in ("text/plain", "application/x-www-form-urlencoded"):
        status, *_ = client.give([0, "unsure", "", AT], **{"Content-Type": other})
        assert status == 415
    lying = {**kind, "Content-Length": "-1"}
    assert client.ask("POST", "/verdicts", b"", **lying)[0] == 411
    assert client.give([0, "unsure", "", AT])[0] == 200


def test_a_page_of_another_table_gets_and_gives_nothing(client):
    other = "0123456789abcdef"
    assert client.give([0, "unsure", "", AT], table=other)[0] == 409
    assert client.get(f"/clips/{other}/0.png")[0] == 409


def test_verdicts_are_told_to_the_next_page_and_merged_in_a_pause(client, path):
    assert client.give([0, "accepted", "gibbon", AT], [1, "unsure", "", AT])[0] == 200
    assert client.give([1, "rejected", '=x,"y"', AT], [3, "unsure", "", AT])[0] == 200
    assert client.give([3, "", "", AT])[0] == 200
    told = client.told()["events"]
    assert [told[n].get("verdict") for n in (0, 1, 2, 3)] == [
        "accepted",
        "rejected",
        None,
        None,
    ]
    assert told[1]["reviewed"] == '=x,"y"'
    end = time.monotonic() + 10
    while not reviewed_path(path).exists() and time.monotonic() < end:
        time.sleep(0.1)
    with reviewed_path(path).open(encoding="utf-8", newline="") as file:
        found = [line["verdict"] for line in csv.DictReader(file)]
    assert found[:4] == ["accepted", "rejected", "", ""]


def test_a_full_disk_is_told_to_the_page(client, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tfhier.review.verdicts.os.fsync", full)
    status, _, content = client.give([0, "unsure", "", AT])
    assert status == 507
    assert b"events-reviewed.journal cannot be written (No space" in content


def test_starting_reads_no_recording(path, monkeypatch):
    def read(*_, **__):
        raise AssertionError("a recording was read")

    monkeypatch.setattr("tfhier.sound_files.open_sound", read)
    with Server(made.session(path), 0):
        pass


def test_a_port_that_is_taken_is_told(path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"The port {port} cannot be used"):
            Server(made.session(path), port)


def started(path, *arguments):
    """Start the command; return (process, client)."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tfhier", "review", path, "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
    assert found, line + process.stderr.read()
    return process, Client(int(found[1]))


def test_no_verdict_that_was_confirmed_is_lost_by_a_kill(path):
    draw = random.Random(6)
    confirmed = {}
    num_events = len(made.NAMES) * len(made.events())
    for _ in range(4):
        process, client = started(path)
        told = client.told()["events"]
        assert {
            n: told[n]["verdict"] for n in range(num_events) if "verdict" in told[n]
        } == confirmed
        timer = threading.Timer(draw.uniform(0.05, 0.4), process.kill)
        timer.start()
        with contextlib.suppress(OSError, http.client.HTTPException):
            while True:
                number = draw.randrange(num_events)
                verdict = draw.choice(["rejected", "unsure"])
                # One that is under way may be kept or not.
                sent = confirmed.pop(number, None), number
                if client.give([number, verdict, "", AT])[0] == 200:
                    confirmed[number] = verdict
        process.wait()
        timer.join()
        process.stdout.close()
        process.stderr.close()
        confirmed = settled(path, confirmed, sent)
    process, client = started(path)
    process.terminate()
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert f"{len(confirmed)} verdicts in" in output
    with reviewed_path(path).open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert {n: line["verdict"] for n, line in enumerate(lines) if line["verdict"]} == (
        confirmed
    )
    assert not reviewed_path(path).with_suffix(".journal").exists()
    assert event_tables.read(reviewed_path(path)) == event_tables.read(path)


def settled(path, confirmed, sent):
    """Add the verdict that was under way at a kill, as the journal has it."""
    session = made.session(path)
    _, number = sent
    event = session.told(clips="")["events"][number]
    kept = {number: event["verdict"]} if "verdict" in event else {}
    return {**confirmed, **kept}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_may_be_stopped_as_soon_as_it_says_its_address(path, number):
    process = subprocess.Popen(
        [sys.executable, "-m", "tfhier", "review", path, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "http://127.0.0.1:" in process.stdout.readline()
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")


def test_one_table_has_one_server(path):
    process, _ = started(path)
    done = subprocess.run(
        [sys.executable, "-m", "tfhier", "review", path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Another process is reviewing" in done.stderr
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--context", "-1"], "--context is 0 to 30 seconds"),
        (["--context", "nan"], "--context is 0 to 30 seconds"),
        (["--port", "70000"], "--port is 0 to 65535"),
        (["--recordings", "nowhere"], "There is no folder nowhere"),
        (["--frequencies", "9", "2"], "0 <= low < high"),
    ],
)
def test_arguments_of_no_use_are_told(path, arguments, said, capsys):
    from tfhier.__main__ import main

    assert main(["review", str(path), *arguments]) == 2
    assert said in capsys.readouterr().err
