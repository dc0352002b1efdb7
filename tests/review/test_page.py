"""The page in a browser without a window: keys, verdicts, names that hurt."""

import csv
import html
import io
import json
import re
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.review import made
from tfhier import event_tables
from tfhier.__main__ import main
from tfhier.errors import InputError
from tfhier.event_tables.verdict import Verdict, reviewed_path
from tfhier.review import folder, page
from tfhier.review.server import Server, serve
from tfhier.review.table import key

CHROMIUM = Path("/usr/bin/chromium")

# What a test's script is written with. It ends with `report`, which the dump shows.
TOOLS = """
const key = (name) => document.activeElement.dispatchEvent(
  new KeyboardEvent("keydown", { key: name, bubbles: true }));
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const type = (text) => {
  const typed = document.getElementById("typed");
  typed.value = text;
  typed.dispatchEvent(new Event("input"));
};
const text = (id) => document.getElementById(id).textContent;
const report = (found) => {
  const made = document.createElement("pre");
  made.id = "report";
  made.textContent = JSON.stringify(found);
  document.body.append(made);
};
const faults = [];
addEventListener("error", (fault) => faults.push(String(fault.message || fault)));
addEventListener("unhandledrejection", (fault) => faults.push(String(fault.reason)));
"""
# Keys that give each kind of verdict; a bird is no gibbon, a gibbon is a primate.
REVIEW = """
  key("a"); await wait(100);
  key("r"); await wait(100);
  key("l"); type("gib"); key("Enter"); await wait(100);
  key("l"); type("gib"); key("Enter"); await wait(100);
  key("l"); type("=x"); key("Enter"); await wait(100);
  key("l"); type("prim"); key("Enter"); await wait(100);
  key("u"); await wait(100);
  key("r"); await wait(100);
  key("z"); await wait(100);
  key("b"); await wait(100);
"""
EXPECTED = {
    0: ("accepted", "gibbon"),
    1: ("rejected", ""),
    2: ("accepted", "gibbon"),  # was: a primate
    3: ("rejected", "gibbon"),  # was: an owl
    4: ("accepted", '=x,"y"'),
    5: ("unsure", "primate"),  # was: a gibbon
    6: ("unsure", ""),
    7: ("rejected", "background"),
}


def script(body: str) -> str:
    return f"{TOOLS}\n(async () => {{ await wait(300);\n{body}\n}})();\n"


def seen(address: str, profile: Path) -> dict:
    """Open a page until virtual seconds have passed; return what it reported."""
    if not CHROMIUM.exists():
        pytest.skip("no Chromium here")
    done = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu"),
            *("--no-first-run", "--disable-background-networking"),
            *(f"--user-data-dir={profile}", "--window-size=1200,700"),
            # Keys of a script are no gesture, without which no sound is played.
            "--autoplay-policy=no-user-gesture-required",
            *("--virtual-time-budget=15000", "--dump-dom", address),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found = re.search(r'<pre id="report">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(html.unescape(found[1]))


def written(path: Path, target: Path, body: str = "") -> Path:
    """Write the page as a folder, with a test's script in it; return its index."""
    session = made.session(path, frequencies=(500, 3000))
    assert folder.write(session, target) == len(made.events())
    index = target / "index.html"
    if body:
        (target / "test.js").write_text(script(body), encoding="utf-8")
        text = index.read_text(encoding="utf-8")
        index.write_text(
            text.replace("</body>", '<script src="test.js"></script></body>'),
            encoding="utf-8",
        )
    return index


def verdicts_in(text: str) -> dict:
    lines = list(csv.DictReader(io.StringIO(text, newline="")))
    return {
        number: (line["verdict"], line["reviewed_label"].removeprefix("'"))
        for number, line in enumerate(lines)
        if line["verdict"]
    }


def test_a_folder_is_reviewed_and_exported_and_gone_on_with(tmp_path):
    path = made.write(tmp_path / "card")
    body = f"""
      const seen = {{ before: text("count") }};
      const image = document.getElementById("spectrogram");
      seen.width = image.naturalWidth;
      {REVIEW}
      report({{ ...seen, after: text("count"), csv: Keep.csv(), faults }});
    """
    index = written(path, tmp_path / "page", body)
    for before in ("0 of 20", "8 of 20"):  # the second time by the browser's memory
        found = seen(index.as_uri(), tmp_path / "profile")
        assert found["faults"] == []
        assert found["before"] == before
        assert found["width"] > 500
        if before == "0 of 20":
            first = found["csv"]
    assert verdicts_in(first) == EXPECTED
    # What the page writes is what Python writes, in every byte.
    session = made.session(path)
    times = [line["reviewed_at"] for line in csv.DictReader(io.StringIO(first))]
    rows = session.table.rows
    session.verdicts.give(
        {
            key(rows[number]): Verdict(verdict, label, times[number])
            for number, (verdict, label) in EXPECTED.items()
        }
    )
    session.verdicts.merge()
    assert reviewed_path(path).read_bytes() == first.encode()
    # The table of the browser, put beside the table of events, is taken up.
    reviewed_path(path).write_text(first, encoding="utf-8", newline="")
    assert len(made.session(path).verdicts.given) == len(EXPECTED)
    assert event_tables.read(reviewed_path(path)) == event_tables.read(path)


def test_names_are_text_and_a_missing_recording_is_told(tmp_path):
    path = made.write(tmp_path / "card")
    body = """
      const names = [], labels = [], problems = [];
      for (let i = 0; i < DATA.events.length; i++) {
        await wait(60);
        names.push(text("file"));
        labels.push(text("label"));
        problems.push(document.getElementById("problem").hidden ? "" : text("problem"));
        key("ArrowRight");
      }
      report({ names, labels, problems, title: document.title, faults,
        images: document.images.length });
    """
    found = seen(written(path, tmp_path / "p", body).as_uri(), tmp_path / "profile")
    assert found["faults"] == []
    assert found["images"] == 1  # the spectrogram
    assert found["title"] == "0/20 events.csv"
    assert found["names"][7] == '<img src=x onerror="document.title=1">\\n🦧 =1+1.wav'
    assert found["names"][12] == "caf\\udce9.wav"
    assert found["labels"][3] == "</script><b>owl</b>"
    assert not any(found["problems"][:15])
    assert all("there is no such file" in each for each in found["problems"][15:])


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Serves a page with a test's script in it: its address is yielded's result."""
    path = made.write(tmp_path / "card")
    servers = []

    def begin(body):
        original = page.asset
        monkeypatch.setattr(
            page,
            "asset",
            lambda name: original(name) + script(body).encode() * (name == "review.js"),
        )
        server = Server(made.session(path), 0)
        thread = threading.Thread(target=serve, args=[server])
        thread.start()
        servers.append((server, thread))
        return server

    begin.path = path
    yield begin
    for server, thread in servers:
        server.shutdown()
        thread.join()


def test_a_review_by_keys_is_kept_by_the_server(served, tmp_path):
    body = f"""
      {REVIEW}
      await wait(500);
      report({{ count: text("count"), banner: text("banner"), faults,
        where: text("file"), left: Object.keys(localStorage) }});
    """
    server = served(body)
    found = seen(server.address, tmp_path / "profile")
    assert found["faults"] == []
    assert (found["count"], found["banner"]) == ("8 of 20", "")
    assert found["left"] == []
    given = server.session.verdicts.given
    rows = server.session.table.rows
    assert {
        n: (given[key(row)].verdict, given[key(row)].label)
        for n, row in enumerate(rows)
        if key(row) in given
    } == EXPECTED


@pytest.mark.slow  # a busy machine decodes sound later than virtual seconds pass
@pytest.mark.parametrize("is_served", [True, False])
def test_the_sound_is_played_and_wound(served, tmp_path, is_served):
    body = """
      const audio = document.getElementById("audio");
      key("ArrowRight"); await wait(200);
      key(" "); await wait(1000);
      const playing = !audio.paused && text("play-text");
      const place = document.getElementById("picture").getBoundingClientRect();
      document.getElementById("picture").dispatchEvent(new MouseEvent("click",
        { clientX: place.left + 0.75 * place.width, bubbles: true }));
      await wait(20);
      const wound = audio.currentTime;
      const last = audio.duration;
      key(" "); key("s"); key("s"); await wait(100);
      report({ playing, wound, last, paused: audio.paused, rate: audio.playbackRate,
        error: audio.error && audio.error.message, faults });
    """
    if is_served:
        address = served(body).address
    else:
        address = written(served.path, tmp_path / "page", body).as_uri()
    found = seen(address, tmp_path / "profile")
    assert (found["faults"], found["error"]) == ([], None)
    assert found["playing"] == "Pause"
    assert abs(found["last"] - 5.5) < 0.01
    assert 0.7 * found["last"] < found["wound"] < 0.9 * found["last"]
    assert (found["paused"], found["rate"]) == (True, 0.1)


def test_filters_sorting_and_missing_recordings(served, tmp_path):
    body = """
      const choose = async (id, value) => {
        const select = document.getElementById(id);
        select.value = value;
        select.dispatchEvent(new Event("change"));
        await wait(100);
      };
      const rows = () => [...document.querySelectorAll(".row b")].map(
        (each) => each.textContent);
      key("a"); await wait(100);
      const all = document.getElementById("rows").style.height;
      await choose("by-label", "langur");
      const langurs = rows();
      await choose("by-label", "");
      await choose("by-verdict", "undone");
      const undone = document.getElementById("rows").style.height;
      await choose("by-verdict", "accepted");
      const accepted = rows();
      await choose("by-verdict", "rejected");
      const nothing = text("nothing-text");
      await choose("by-verdict", "all");
      for (let i = 0; i < 19; i++) key("j");
      await wait(1000);
      report({ all, langurs, undone, accepted, nothing, faults,
        problem: text("problem"), label: text("label") });
    """
    found = seen(served(body).address, tmp_path / "profile")
    assert found["faults"] == []
    assert found["langurs"] == ["langur"] * 4
    assert (found["all"], found["undone"]) == ("880px", "836px")
    assert found["accepted"] == ["gibbon"]
    assert found["nothing"] == "No event is left by these filters."
    assert "there is no such file" in found["problem"]


def test_a_server_that_is_gone_costs_nothing(served, tmp_path, monkeypatch):
    body = """
      if (text("count").startsWith("2")) {  // the second visit
        await wait(1000);
        report({ count: text("count"), banner: text("banner"), faults,
          left: Object.keys(localStorage).length });
        return;
      }
      await fetch("gone").catch(() => {});
      key("a"); await wait(100);
      key("r"); await wait(1500);
      report({ banner: text("banner"), count: text("count"), faults,
        left: Object.keys(localStorage).length });
    """
    from tfhier.review import server as servers

    original = servers.Handler.parse_request
    gone = threading.Event()

    def parse(handler):
        found = original(handler)
        if handler.path == "/gone":
            gone.set()
        if gone.is_set():
            raise ConnectionResetError
        return found

    monkeypatch.setattr(servers.Handler, "parse_request", parse)
    server = served(body)
    found = seen(server.address, tmp_path / "profile")
    assert found["faults"] == []
    assert found["count"] == "2 of 20"
    assert found["banner"].startswith("The server is gone.")
    assert found["banner"].endswith("2 verdicts are kept in this browser.")
    assert found["left"] == 2
    assert not server.session.verdicts.given
    gone.clear()
    found = seen(server.address, tmp_path / "profile")
    assert (found["count"], found["banner"], found["left"]) == ("2 of 20", "", 0)
    assert len(server.session.verdicts.given) == 2


def test_a_folder_with_content_is_not_written_into(tmp_path, monkeypatch):
    path = made.write(tmp_path / "card")
    with pytest.raises(InputError, match="exists already, and the page"):
        folder.write(made.session(path), tmp_path / "card")
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10**6))
    with pytest.raises(InputError, match="is full"):
        folder.write(made.session(path), tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_problems_of_names_that_are_no_utf8_are_written(tmp_path):
    path = made.write(tmp_path / "card")
    (path.parent / made.NAMES[2]).unlink()
    assert folder.write(made.session(path), tmp_path / "page") == 10
    content = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert "caf\\\\udce9.wav: there is no such file" in content


def test_the_command_writes_a_folder(tmp_path, capsys):
    path = made.write(tmp_path / "card")
    arguments = ["review", str(path), "--output", str(tmp_path / "page")]
    assert main([*arguments, "--labels", "owl", "--context", "0.5"]) == 0
    output = capsys.readouterr()
    assert "events   20, 0 of them judged" in output.out
    assert "5 events could not be read" in output.err
    assert len(list((tmp_path / "page" / "clips").iterdir())) == 30
    assert not reviewed_path(path).exists()
