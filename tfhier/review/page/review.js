"use strict";
// The review itself: which event is next, what keys do, filters and progress.

(() => {
  const at = (id) => document.getElementById(id);
  const LABELS = new Map(DATA.labels.map((label) => [label.name, new Set(label.above)]));
  const past = []; // numbers of events that were judged, for Z
  let order = []; // numbers of events that the filters leave
  let place = -1;
  let waiting = 0; // the timer of the next picture

  const here = () => DATA.events[order[place]];
  const isUndone = (number) => !DATA.events[number].verdict;

  function preference(name, value) {
    try {
      if (value === undefined) return localStorage.getItem(`tfhier-review ${name}`);
      localStorage.setItem(`tfhier-review ${name}`, value);
    } catch {
      // Then it is forgotten.
    }
    return null;
  }

  // What a label says of the detector's: right, also where it is finer; not known,
  // where it is coarser; else wrong.
  function verdictOf(own, chosen) {
    if (chosen === own || LABELS.get(chosen).has(own)) return "accepted";
    return LABELS.get(own).has(chosen) ? "unsure" : "rejected";
  }

  function filter() {
    const label = at("by-label").value;
    const verdict = at("by-verdict").value;
    const kept = place >= 0 ? order[place] : -1;
    order = [...DATA.events.keys()].filter((number) => {
      const event = DATA.events[number];
      return (!label || event.label === label) &&
        (verdict === "all" || (event.verdict || "undone") === verdict);
    });
    const sort = at("sort").value;
    const sign = sort === "high" ? -1 : 1;
    if (sort !== "time") {
      order.sort((a, b) => sign * (DATA.events[a].score - DATA.events[b].score) || a - b);
    }
    List.show(order);
    place = -1;
    const again = order.indexOf(kept);
    const first = order.findIndex(isUndone);
    goTo(again >= 0 ? again : Math.max(0, first));
  }

  function goTo(wanted) {
    at("event").hidden = !order.length;
    at("nothing").hidden = Boolean(order.length);
    at("nothing-text").textContent = "No event is left by these filters.";
    if (!order.length) return;
    place = Math.min(order.length - 1, Math.max(0, wanted));
    List.goTo(place);
    describe();
    View.pause();
    // Keys that are held down run over events; only where they stop it is read.
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      View.show(order[place]);
      if (at("autoplay").checked) View.play();
      const next = nextUndone();
      for (const each of [next, place + 1]) {
        if (each >= 0 && each < order.length) View.fetchAhead(order[each]);
      }
    }, 40);
  }

  function describe() {
    const event = here();
    const file = DATA.files[event.file];
    const cut = event.to < event.end ? `, its first ${Math.round(event.to - event.from)} s` : "";
    at("label").textContent = event.label;
    at("level").textContent = event.level;
    at("score").textContent = event.score.toFixed(3);
    at("score-bar").style.width = `${100 * event.score}%`;
    at("remark").textContent = event.remark;
    at("time").textContent = event.time || "";
    at("time").hidden = !event.time;
    at("file").textContent = file.name;
    at("file").title = file.name;
    at("folder").textContent = file.folder === "." ? "" : file.folder;
    at("folder").title = file.folder;
    at("offset").textContent =
      `${clock(event.start)} + ${(event.end - event.start).toFixed(1)} s${cut}`;
    const other = event.reviewed && event.reviewed !== event.label ? `: ${event.reviewed}` : "";
    at("mark").className = `mark ${event.verdict || ""}`;
    at("mark").textContent =
      event.verdict ? `${GLYPHS[event.verdict]} ${event.verdict}${other}` : "";
    const isNone = event.reviewed === "background";
    at("accept").classList.toggle("given", event.verdict === "accepted");
    at("reject").classList.toggle("given", event.verdict === "rejected" && !isNone);
    at("none").classList.toggle("given", event.verdict === "rejected" && isNone);
    at("unsure").classList.toggle("given", event.verdict === "unsure");
  }

  function count() {
    const counts = { accepted: 0, rejected: 0, unsure: 0 };
    for (const event of DATA.events) if (event.verdict) counts[event.verdict]++;
    const all = DATA.events.length;
    for (const [verdict, number] of Object.entries(counts)) {
      at(`bar-${verdict}`).style.width = `${(100 * number) / all}%`;
    }
    const done = counts.accepted + counts.rejected + counts.unsure;
    at("count").textContent = `${done} of ${all}`;
    at("count").title = Object.entries(counts).map(([name, n]) => `${n} ${name}`).join(", ");
    document.title = `${done}/${all} ${DATA.name}`;
  }

  function nextUndone() {
    const behind = order.findIndex((number, each) => each > place && isUndone(number));
    if (behind >= 0) return behind;
    return order.findIndex((number, each) => each !== place && isUndone(number));
  }

  function give(verdict, label) {
    // At the end no event is in sight that a further key could mean.
    if (!order.length || at("event").hidden) return;
    const number = order[place];
    Keep.give(number, verdict, label);
    past.push(number);
    count();
    const next = nextUndone();
    if (next >= 0) goTo(next);
    else finish();
  }

  function finish() {
    List.draw();
    describe();
    View.pause();
    at("event").hidden = true;
    at("nothing").hidden = false;
    const isAll = !DATA.events.some((event) => !event.verdict);
    const kept = Keep.IS_STATIC ?
      "Export writes the table." : `Verdicts are in ${DATA.reviewed_name}.`;
    at("nothing-text").textContent =
      isAll ? `All ${DATA.events.length} events are done. ${kept}` : "All events that these filters leave are done.";
  }

  function takeBack() {
    const number = past.pop();
    if (number === undefined) return;
    Keep.give(number, "", "");
    count();
    if (!order.includes(number)) {
      at("by-label").value = "";
      at("by-verdict").value = "all";
      filter();
    }
    goTo(order.indexOf(number));
  }

  function exportTable() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([Keep.csv()], { type: "text/csv" }));
    link.download = DATA.reviewed_name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }

  const Picker = (() => {
    let choices = [];
    let marked = 0;

    function list() {
      const typed = at("typed").value.trim().toLowerCase();
      const counts = new Map();
      for (const event of DATA.events) {
        const label = event.reviewed || event.label;
        counts.set(label, (counts.get(label) || 0) + 1);
      }
      const rank = (name) => (name.toLowerCase().startsWith(typed) ? 0 : 1);
      choices = [...LABELS.keys()]
        .filter((name) => name.toLowerCase().includes(typed))
        .sort((a, b) => rank(a) - rank(b) || (counts.get(b) || 0) - (counts.get(a) || 0))
        .slice(0, 50);
      mark(0);
    }

    function mark(wanted) {
      marked = Math.min(choices.length - 1, Math.max(0, wanted));
      const made = choices.map((name, each) => {
        const choice = element("li", name);
        choice.setAttribute("role", "option");
        choice.setAttribute("aria-selected", String(each === marked));
        choice.addEventListener("click", () => take(name));
        return choice;
      });
      at("choices").replaceChildren(...(made.length ? made : [element("li", "no such label; more with: tfhier review --labels NAME")]));
      if (made[marked]) made[marked].scrollIntoView({ block: "nearest" });
    }

    function take(name) {
      at("picker").close();
      if (name !== undefined) give(verdictOf(here().label, name), name);
    }

    at("typed").addEventListener("input", list);
    at("typed").addEventListener("keydown", (pressed) => {
      const move = { ArrowDown: 1, ArrowUp: -1 }[pressed.key];
      if (move) mark(marked + move);
      else if (pressed.key === "Enter") choices.length && take(choices[marked]);
      else return;
      pressed.preventDefault();
      pressed.stopPropagation();
    });
    return {
      open() {
        if (!order.length || at("event").hidden) return;
        at("typed").value = "";
        list();
        at("picker").showModal();
        at("typed").focus();
      },
    };
  })();

  const DEEDS = {
    a: () => order.length && give("accepted", here().label),
    r: () => give("rejected", ""),
    b: () => order.length && give(verdictOf(here().label, "background"), "background"),
    u: () => give("unsure", ""),
    l: Picker.open,
    z: takeBack,
    n: () => nextUndone() >= 0 && goTo(nextUndone()),
    s: View.nextSpeed,
    c: View.nextContrast,
    p: () => at("autoplay").click(),
    " ": View.toggle,
    "?": () => at("help").showModal(),
  };
  // Those that may repeat while a key is held down.
  const MOVES = {
    ArrowRight: () => goTo(place + 1),
    j: () => goTo(place + 1),
    ArrowLeft: () => goTo(place - 1),
    k: () => goTo(place - 1),
    "+": () => View.zoomBy(1),
    "=": () => View.zoomBy(1),
    "-": () => View.zoomBy(-1),
  };

  function press(pressed) {
    if (pressed.ctrlKey || pressed.metaKey || pressed.altKey) return;
    if (document.querySelector("dialog[open]")) return;
    const target = pressed.target;
    if (target.matches("select, input[type=text]")) return;
    // On a button that was reached by Tab, space and Enter press it.
    if (pressed.key === " " && target.matches("button, input")) return;
    const name = pressed.key.length === 1 ? pressed.key.toLowerCase() : pressed.key;
    const deed = MOVES[name] || (pressed.repeat ? null : DEEDS[name]);
    if (!deed) return;
    pressed.preventDefault();
    deed();
  }

  function fillLabels() {
    const counts = new Map();
    for (const { label } of DATA.events) counts.set(label, (counts.get(label) || 0) + 1);
    const all = element("option", `all (${DATA.events.length})`);
    all.value = "";
    const options = [...counts].sort((a, b) => b[1] - a[1]).map(([label, number]) => {
      const option = element("option", `${label} (${number})`);
      option.value = label;
      return option;
    });
    at("by-label").replaceChildren(all, ...options);
  }

  function listen() {
    document.addEventListener("keydown", press);
    const buttons = {
      accept: "a", reject: "r", none: "b", unsure: "u", other: "l", play: " ", keys: "?",
    };
    for (const [id, key] of Object.entries(buttons)) at(id).addEventListener("click", DEEDS[key]);
    at("back").addEventListener("click", MOVES.ArrowLeft);
    at("next").addEventListener("click", MOVES.ArrowRight);
    at("export").addEventListener("click", exportTable);
    for (const id of ["by-label", "by-verdict", "sort"]) {
      at(id).addEventListener("change", () => {
        at(id).blur();
        filter();
      });
    }
    at("autoplay").checked = preference("autoplay") === "yes";
    at("autoplay").addEventListener("change", () => {
      preference("autoplay", at("autoplay").checked ? "yes" : "no");
    });
    // After a click the keys are the page's again.
    document.addEventListener("pointerup", () => setTimeout(() => {
      if (document.activeElement.matches("button, input[type=checkbox]")) document.activeElement.blur();
    }));
  }

  at("name").textContent = DATA.name;
  at("name").title = DATA.name;
  at("export").hidden = !Keep.IS_STATIC;
  at("kept").textContent = Keep.IS_STATIC ?
    `Verdicts stay in this browser; Export writes ${DATA.reviewed_name}.` :
    `Verdicts are kept at once, and written to ${DATA.reviewed_name}.`;
  Keep.start((text) => {
    at("banner").textContent = text;
    at("banner").hidden = !text;
  });
  List.start(goTo);
  View.start();
  fillLabels();
  listen();
  count();
  filter();
})();
