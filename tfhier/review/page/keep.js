"use strict";
// Verdicts: kept in this browser until the server has them, or, where there is none,
// until they are exported.

const DATA = JSON.parse(document.getElementById("data").textContent);

const Keep = (() => {
  const IS_STATIC = Boolean(DATA.csv);
  const PREFIX = `tfhier-review-${DATA.table}-`;
  const PAUSE = 4000; // ms between two questions whether the server is there
  const MOST = 200; // verdicts in a request
  // Number -> [number, verdict, label, at]: what the server does not have.
  const waiting = new Map();
  let isKept = true;
  let isSending = false;
  let trouble = "";
  let onTrouble = () => {};

  // A key an event, so that two windows do not overwrite each other's.
  function remember(entry) {
    try {
      localStorage.setItem(PREFIX + entry[0], JSON.stringify(entry));
    } catch {
      isKept = false;
    }
  }

  function forget(number) {
    try {
      localStorage.removeItem(PREFIX + number);
    } catch {
      isKept = false;
    }
  }

  function remembered() {
    try {
      return Object.keys(localStorage)
        .filter((name) => name.startsWith(PREFIX))
        .map((name) => JSON.parse(localStorage.getItem(name)));
    } catch {
      isKept = false;
      return [];
    }
  }

  function apply([number, verdict, label, at]) {
    Object.assign(DATA.events[number], { verdict, reviewed: label, at });
  }

  function tell(text) {
    trouble = text;
    onTrouble(told());
  }

  function told() {
    if (IS_STATIC) {
      return isKept ? "" :
        "This browser keeps nothing when it is closed: export your verdicts before.";
    }
    if (!trouble) return "";
    const count = waiting.size;
    if (!count) return trouble;
    const where = isKept ? "kept in this browser" : "only in this page: leave it open";
    return `${trouble} ${count} verdict${count === 1 ? " is" : "s are"} ${where}.`;
  }

  async function send() {
    if (IS_STATIC || isSending) return;
    isSending = true;
    try {
      await (waiting.size ? sendVerdicts() : ask());
    } catch {
      tell("The server is gone. Start tfhier review again; you can go on meanwhile.");
    } finally {
      isSending = false;
    }
    if (waiting.size && !trouble) send();
  }

  async function sendVerdicts() {
    const batch = [...waiting.values()].slice(0, MOST);
    const answer = await fetch("verdicts", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ table: DATA.table, verdicts: batch }),
    });
    if (!answer.ok) {
      tell(await answer.text());
      return;
    }
    for (const entry of batch) {
      // It may have been changed while it was sent.
      if (waiting.get(entry[0]) !== entry) continue;
      waiting.delete(entry[0]);
      forget(entry[0]);
    }
    tell("");
  }

  async function ask() {
    const answer = await fetch("health", { cache: "no-store" });
    const { table } = await answer.json();
    tell(table === DATA.table ? "" : "The server reviews another table now. Load anew.");
  }

  function start(listener) {
    onTrouble = listener;
    for (const entry of remembered()) {
      // The page can have been written anew, with later verdicts in it.
      const known = DATA.events[entry[0]];
      if (!known || known.at > entry[3]) {
        forget(entry[0]);
        continue;
      }
      apply(entry);
      if (!IS_STATIC) waiting.set(entry[0], entry);
    }
    onTrouble(told());
    if (IS_STATIC) return;
    send();
    setInterval(send, PAUSE);
    addEventListener("beforeunload", (leaving) => {
      if (waiting.size && !isKept) leaving.preventDefault();
    });
  }

  function give(number, verdict, label) {
    const at = new Date().toISOString().replace(/\.\d+/, "");
    const entry = [number, verdict, label, at];
    apply(entry);
    remember(entry);
    if (!IS_STATIC) waiting.set(number, entry);
    onTrouble(told());
    send();
  }

  // The reviewed table, as the server writes it.
  function csv() {
    const { header, starts, others, cells } = DATA.csv;
    const lines = starts.map((start, number) => {
      const { verdict, reviewed, at } = DATA.events[number];
      if (!verdict) return `${start},,,\n`;
      return `${start},${verdict},${reviewed ? cells[reviewed] : ""},${at}\n`;
    });
    return header + lines.join("") + others;
  }

  return { start, give, csv, IS_STATIC };
})();
