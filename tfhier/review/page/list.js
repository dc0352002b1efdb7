"use strict";
// The list of events: only the rows in sight are in the page, however many there are.

const GLYPHS = { accepted: "✓", rejected: "✕", unsure: "?" };

// Seconds as 5:07.3 or 23:59:58.0.
function clock(seconds, decimals = 1) {
  const unit = 10 ** decimals;
  const whole = Math.round(seconds * unit);
  const [hours, minutes] = [Math.floor(whole / 3600 / unit), Math.floor(whole / 60 / unit) % 60];
  const rest = ((whole % (60 * unit)) / unit).toFixed(decimals);
  const padded = rest.padStart(decimals ? 3 + decimals : 2, "0");
  const short = `${minutes}:${padded}`;
  return hours ? `${hours}:${short.padStart(padded.length + 3, "0")}` : short;
}

function element(tag, text, name = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = name;
  return made;
}

const List = (() => {
  const HEIGHT = 44; // px of a row, as the style has it
  const list = document.getElementById("list");
  const rows = document.getElementById("rows");
  let order = []; // numbers of events
  let here = -1; // place in it
  let onChoice = () => {};

  function draw() {
    const first = Math.max(0, Math.floor(list.scrollTop / HEIGHT) - 5);
    const last = Math.min(order.length, first + Math.ceil(list.clientHeight / HEIGHT) + 10);
    const made = [];
    for (let place = first; place < last; place++) made.push(row(place));
    rows.replaceChildren(...made);
  }

  function row(place) {
    const event = DATA.events[order[place]];
    const made = element("div", "", `row ${event.verdict || ""}`);
    if (place === here) {
      made.classList.add("here");
      made.setAttribute("aria-current", "true");
    }
    made.style.top = `${place * HEIGHT}px`;
    const isOther = event.reviewed && event.reviewed !== event.label;
    const label = isOther ? `${event.label} → ${event.reviewed}` : event.label;
    const when = event.time || DATA.files[event.file].name;
    made.append(
      element("span", GLYPHS[event.verdict] || "", "glyph"),
      element("b", label),
      element("span", event.score.toFixed(2)),
      element("small", `${when} · ${clock(event.start)}`),
    );
    made.addEventListener("click", () => onChoice(place));
    return made;
  }

  function start(listener) {
    onChoice = listener;
    list.addEventListener("scroll", draw, { passive: true });
    new ResizeObserver(draw).observe(list);
  }

  function show(numbers) {
    order = numbers;
    rows.style.height = `${order.length * HEIGHT}px`;
    draw();
  }

  function goTo(place) {
    here = place;
    const top = place * HEIGHT;
    if (top < list.scrollTop || top + HEIGHT > list.scrollTop + list.clientHeight) {
      list.scrollTop = top - list.clientHeight / 2 + HEIGHT / 2;
    }
    draw();
  }

  return { start, show, goTo, draw };
})();
