"use strict";
// One event: its spectrogram with a box, axes, and its sound.

const View = (() => {
  const at = (id) => document.getElementById(id);
  const image = at("spectrogram");
  const audio = at("audio");
  const SPEEDS = [1, 0.5, 0.1];
  const SPEED_NAMES = ["1×", "½×", "⅒×"];
  const CONTRASTS = [0.7, 1, 1.6, 2.6];
  // From silence to loud, as red, green, blue.
  const LIGHT = [[255, 255, 255], [196, 219, 216], [104, 160, 161], [38, 90, 110], [14, 22, 44]];
  const DARK = [[5, 6, 10], [46, 21, 84], [143, 42, 104], [236, 112, 62], [255, 245, 190]];
  const isDark = matchMedia("(prefers-color-scheme: dark)");
  let event = null;
  let number = -1;
  let zoom = 0; // halvings of the highest frequency
  let contrast = 1;
  let speed = 0;
  let isPlayWanted = false;
  const ahead = new Map(); // number -> picture and sound on their way

  const clip = (number, kind) => `${DATA.clips}${number}.${kind}`;
  const share = (seconds) => (100 * (seconds - event.from)) / (event.to - event.from);
  const highest = () => event.rate / 2 / 2 ** zoom;

  function colour() {
    const stops = isDark.matches ? DARK : LIGHT;
    const tables = [[], [], []];
    for (let i = 0; i <= 24; i++) {
      const place = (i / 24) ** CONTRASTS[contrast] * (stops.length - 1);
      const below = Math.min(Math.floor(place), stops.length - 2);
      for (const band of [0, 1, 2]) {
        const [low, high] = [stops[below][band], stops[below + 1][band]];
        tables[band].push(((low + (high - low) * (place - below)) / 255).toFixed(3));
      }
    }
    document.querySelectorAll("#ink feComponentTransfer > *").forEach((each, band) => {
      each.setAttribute("tableValues", tables[band].join(" "));
    });
  }

  // A step of 1, 2 or 5 that gives at most so many marks.
  function step(range, most) {
    const ten = 10 ** Math.floor(Math.log10(range / most));
    return [1, 2, 5, 10].map((each) => each * ten).find((each) => range / each <= most);
  }

  function axes() {
    const width = at("picture").clientWidth || 800;
    const height = at("picture").clientHeight || 300;
    const seconds = [];
    const every = step(event.to - event.from, Math.max(2, Math.floor(width / 95)));
    const decimals = every < 1 ? Math.min(3, Math.ceil(-Math.log10(every))) : 0;
    for (let i = Math.ceil(event.from / every); i * every <= event.to + 1e-9; i++) {
      const mark = element("span", clock(i * every, decimals));
      mark.style.left = `${share(i * every)}%`;
      seconds.push(mark);
    }
    at("seconds").replaceChildren(...seconds);
    const frequencies = [];
    const hertz = step(highest(), Math.max(2, Math.floor(height / 42)));
    for (let i = 0; i * hertz <= highest() * 0.985; i++) {
      const mark = element("span", i ? `${+((i * hertz) / 1000).toFixed(3)}` : "kHz");
      mark.style.bottom = `${(100 * i * hertz) / highest()}%`;
      frequencies.push(mark);
    }
    at("frequencies").replaceChildren(...frequencies);
  }

  function scale() {
    image.style.height = `${100 * 2 ** zoom}%`;
    const box = at("box");
    const low = event.low === null ? 0 : event.low / highest();
    const high = event.high === null ? 1 : Math.min(1, event.high / highest());
    box.classList.toggle("open", event.low === null);
    box.style.left = `${share(event.start)}%`;
    box.style.right = `${100 - share(Math.min(event.end, event.to))}%`;
    box.style.bottom = `${100 * low}%`;
    box.style.top = `${100 * (1 - high)}%`;
    axes();
    at("settings").textContent =
      `speed ${SPEED_NAMES[speed]} (S) · up to ${+(highest() / 1000).toFixed(2)} kHz (+ −) · contrast ${contrast + 1} (C)`;
  }

  function fetchAhead(next) {
    if (ahead.has(next) || !DATA.events[next] || DATA.events[next].problem) return;
    const picture = new Image();
    picture.src = clip(next, "png");
    const sound = new Audio();
    sound.preload = "auto";
    sound.src = clip(next, "wav");
    ahead.set(next, [picture, sound]);
    if (ahead.size > 6) ahead.delete(ahead.keys().next().value);
  }

  function fail(text) {
    at("problem").textContent = text;
    at("problem").hidden = false;
    at("box").hidden = true;
  }

  // Pictures do not tell why they are missing: ask for the words of the server.
  async function explain(failed) {
    let text = "The excerpt is missing in the folder of this page.";
    if (!Keep.IS_STATIC) {
      try {
        const answer = await fetch(clip(failed, "png"), { cache: "no-store" });
        if (answer.ok && failed === number) {
          image.src = URL.createObjectURL(await answer.blob());
          return;
        }
        text = await answer.text();
      } catch {
        text = "The server is gone.";
      }
    }
    if (failed === number) fail(text);
  }

  function show(next) {
    pause();
    number = next;
    event = DATA.events[number];
    at("problem").hidden = true;
    at("box").hidden = false;
    at("head").classList.remove("on");
    scale();
    isPlayWanted = false;
    audio.removeAttribute("src");
    audio.load();
    if (event.problem) {
      image.removeAttribute("src");
      fail(event.problem);
      return;
    }
    image.classList.add("waiting");
    image.src = clip(number, "png");
  }

  function setSpeed() {
    audio.preservesPitch = SPEEDS[speed] === 1;
    audio.defaultPlaybackRate = audio.playbackRate = SPEEDS[speed];
  }

  function play(from) {
    if (!event || event.problem) return;
    if (!audio.hasAttribute("src")) audio.src = clip(number, "wav");
    setSpeed();
    if (from !== undefined) audio.currentTime = from;
    isPlayWanted = true;
    audio.play().catch(() => {}); // it was stopped, or may not play before a key was hit
  }

  function pause() {
    isPlayWanted = false;
    audio.pause();
  }

  function follow() {
    const head = at("head");
    head.style.left = `${(100 * audio.currentTime) / (event.to - event.from)}%`;
    head.classList.add("on");
    if (!audio.paused) requestAnimationFrame(follow);
  }

  function start() {
    colour();
    isDark.addEventListener("change", colour);
    image.addEventListener("load", () => image.classList.remove("waiting"));
    image.addEventListener("error", () => image.hasAttribute("src") && explain(number));
    audio.addEventListener("play", () => { at("play-text").textContent = "Pause"; follow(); });
    audio.addEventListener("pause", () => { at("play-text").textContent = "Play"; });
    audio.addEventListener("ended", () => at("head").classList.remove("on"));
    audio.addEventListener("canplay", () => { if (isPlayWanted) audio.play().catch(() => {}); });
    at("picture").addEventListener("click", (click) => {
      const place = at("picture").getBoundingClientRect();
      play(((click.clientX - place.left) / place.width) * (event.to - event.from));
    });
    new ResizeObserver(() => event && axes()).observe(at("picture"));
    const [first] = DATA.events;
    // Calls that lie in the lowest part of a recording are seen from near.
    if (first && first.high !== null) {
      while (zoom < 5 && first.high * 1.25 < first.rate / 2 / 2 ** (zoom + 1)) zoom++;
    }
  }

  return {
    start,
    show,
    fetchAhead,
    play,
    toggle: () => (audio.paused ? play() : pause()),
    pause,
    zoomBy(halvings) {
      zoom = Math.min(5, Math.max(0, zoom + halvings));
      scale();
    },
    nextContrast() {
      contrast = (contrast + 1) % CONTRASTS.length;
      colour();
      scale();
    },
    nextSpeed() {
      speed = (speed + 1) % SPEEDS.length;
      setSpeed();
      scale();
    },
  };
})();
