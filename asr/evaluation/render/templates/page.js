"use strict";
(() => {
  const PAGE = 30, PIXELS_A_SECOND = 110;
  const {systems, utterances} = JSON.parse(document.getElementById("data").textContent);
  const find = (id) => document.getElementById(id);
  const [search, sort, show, clear, count, list, more, player] =
    ["search", "sort", "show", "clear", "count", "list", "more", "player"].map(find);
  let chosen = [], shown = 0, narrowed = null, playing = null;

  // Texts only ever become text nodes: nothing in a transcript is taken for markup.
  const element = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const text = (one) => one.systems.map((system) => system.edits.map((edit) => edit.slice(1).join(" ")).join(" ")).join(" ");
  const haystack = (one) => one.haystack ??= `${one.id} ${one.speaker ?? ""} ${text(one)}`.toLowerCase();
  const first = (one) => one.systems[0];
  const wordTimes = ({times}) => times?.[0].map((start, word) => [start / 1000, times[1][word] / 1000, times[2][word]]);
  const rate = (one) => first(one).errors / Math.max(1, first(one).words);
  const spread = (one) => Math.max(...one.systems.map((s) => s.errors)) - Math.min(...one.systems.map((s) => s.errors));
  const orders = {
    errors: (a, b) => first(b).errors - first(a).errors,
    rate: (a, b) => rate(b) - rate(a),
    id: (a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0),
    longest: (a, b) => (b.duration ?? b.seconds ?? 0) - (a.duration ?? a.seconds ?? 0),
    order: (a, b) => a.place - b.place,
    disagreement: (a, b) => spread(b) - spread(a),
  };
  utterances.forEach((one, place) => { one.place = place; });
  if (systems.length < 2) sort.querySelector("[value=disagreement]").remove();

  const hasPair = (one, {kind, reference, hypothesis}) => first(one).edits.some(([which, left, right]) => {
    if (which !== kind) return false;
    const lefts = left.split(" "), rights = right.split(" ");
    if (kind === "s") return lefts.some((word, k) => word === reference && rights[k] === hypothesis);
    return kind === "d" ? lefts.includes(reference) : rights.includes(hypothesis);
  });
  const passes = (one) => {
    if (show.value === "wrong" && !first(one).errors) return false;
    if (show.value === "right" && first(one).errors) return false;
    if (narrowed?.field && (narrowed.field === "speaker" ? one.speaker ?? "(none)" : one.fields[narrowed.field]) !== narrowed.value) return false;
    if (narrowed?.kind && !hasPair(one, narrowed)) return false;
    return search.value.toLowerCase().split(/\s+/).every((part) => !part || haystack(one).includes(part));
  };
  const refresh = () => {
    stop();
    chosen = utterances.filter(passes).sort((a, b) => orders[sort.value](a, b) || a.place - b.place);
    shown = 0;
    list.replaceChildren();
    clear.hidden = !narrowed;
    if (narrowed) clear.textContent = `${narrowed.label} ×`;
    count.textContent = `${chosen.length.toLocaleString("en")} of ${utterances.length.toLocaleString("en")}`;
    extend();
  };
  const extend = () => {
    const part = document.createDocumentFragment();
    for (const one of chosen.slice(shown, shown + PAGE)) part.append(article(one));
    list.append(part);
    shown = Math.min(chosen.length, shown + PAGE);
    more.hidden = shown >= chosen.length;
  };

  const article = (one) => {
    const made = element("article");
    made.tabIndex = -1;
    made.utterance = one;
    const head = element("h3");
    head.append(element("span", "", one.id));
    if (one.speaker !== null) head.append(element("span", "faint", one.speaker));
    if (one.audio) {
      const play = element("button", "play", "▶ play");
      play.addEventListener("click", () => toggle(made));
      head.append(play);
    }
    const counts = one.systems.map((system) => `${system.errors} of ${system.words}`).join(" | ");
    head.append(element("span", "score", `${counts} words wrong`));
    made.append(head);
    one.systems.forEach((system, number) => {
      const line = element("div", "system");
      if (systems.length > 1) line.append(element("div", "name", systems[number]));
      const times = wordTimes(system);
      let place = 0;
      for (const [kind, left, right] of system.edits) {
        const lefts = left ? left.split(" ") : [], rights = kind === "e" ? lefts : right ? right.split(" ") : [];
        for (let k = 0; k < Math.max(lefts.length, rights.length); k++) {
          const token = element("span", `t ${kind}`);
          token.append(element("b", "", lefts[k] ?? ""), element("i", "", rights[k] ?? ""));
          if (rights[k] !== undefined) {
            const time = times?.[place++];
            if (time && one.audio && number === 0) {
              token.dataset.at = time[0];
              token.time = time;
              token.title = `${time[0].toFixed(2)} s` + (time[2] === null ? "" : `, confidence ${time[2]} %`);
              token.addEventListener("click", () => toggle(made, time[0]));
            }
          }
          line.append(token, " ");
        }
      }
      made.append(line);
    });
    if (one.picture) made.append(strip(one, made));
    return made;
  };

  const strip = (one, owner) => {
    const sound = element("div", "sound"), made = element("div", "strip");
    const [places, symbols, certainties] = one.spikes;
    // Names of phones, which are a list, are wider than characters.
    const areNames = Array.isArray(symbols);
    made.classList.toggle("wide", areNames);
    made.style.width = `${Math.round(one.seconds * PIXELS_A_SECOND * (areNames ? 2 : 1))}px`;
    const across = (seconds) => `${100 * seconds / one.seconds}%`;
    const picture = element("img");
    picture.loading = "lazy";
    picture.alt = "log-mel spectrogram";
    picture.src = one.picture;
    made.append(picture);
    [...symbols].forEach((symbol, number) => {
      const at = places[number] / 1000, sure = certainties[number];
      const spike = element("span", "spike");
      spike.style.left = across(at);
      const letter = element("span", "", symbol === " " ? "␣" : symbol);
      letter.style.top = `${90 - 0.75 * sure}%`;
      letter.style.opacity = 0.25 + 0.75 * sure / 100;
      spike.title = `${symbol === " " ? "space" : symbol} ${sure} % at ${at.toFixed(2)} s`;
      spike.append(letter);
      made.append(spike);
    });
    const times = wordTimes(first(one));
    const written = first(one).edits.flatMap(([kind, left, right]) =>
      (kind === "e" ? left : right ?? "").split(" ").filter(Boolean).map((word) => [word, kind !== "e"]));
    (times ?? []).forEach(([start, end], place) => {
      const word = element("span", `word${written[place]?.[1] ? " bad" : ""}`, written[place]?.[0]);
      word.style.left = across(start);
      word.style.width = across(Math.max(0, end - start));
      word.time = [start, end];
      made.append(word);
    });
    const line = element("span", "head");
    line.hidden = true;
    made.append(line);
    made.addEventListener("click", (event) => {
      const box = made.getBoundingClientRect();
      toggle(owner, one.seconds * (event.clientX - box.left) / box.width);
    });
    sound.append(made);
    return sound;
  };

  const stop = () => {
    if (!playing) return;
    player.pause();
    playing.querySelector(".play").textContent = "▶ play";
    for (const lit of playing.querySelectorAll(".now")) lit.classList.remove("now");
    const line = playing.querySelector(".head");
    if (line) line.hidden = true;
    playing = null;
  };
  const toggle = (owner, from) => {
    const again = playing === owner;
    if (again && from === undefined) return stop();
    if (!again) {
      stop();
      playing = owner;
      player.src = owner.utterance.audio;
      owner.querySelector(".play").textContent = "■ stop";
    }
    const begin = () => { if (from !== undefined) player.currentTime = from; };
    if (player.readyState) begin(); else player.addEventListener("loadedmetadata", begin, {once: true});
    player.play().then(follow, () => { if (playing === owner) { stop(); owner.querySelector(".play").textContent = "cannot be played"; } });
  };
  const follow = () => {
    if (!playing) return;
    const now = player.currentTime, line = playing.querySelector(".head"), seconds = playing.utterance.seconds;
    if (line) {
      line.hidden = false;
      line.style.left = `${100 * now / seconds}%`;
      const box = playing.querySelector(".sound"), at = line.offsetLeft;
      if (at < box.scrollLeft || at > box.scrollLeft + box.clientWidth - 40) box.scrollLeft = at - 80;
    }
    for (const token of playing.querySelectorAll(".t[data-at], .word"))
      token.classList.toggle("now", now >= token.time[0] && now < token.time[1]);
    if (player.ended) stop(); else requestAnimationFrame(follow);
  };

  const narrow = (how) => {
    narrowed = how;
    refresh();
    find("utterances").scrollIntoView();
  };
  for (const button of document.querySelectorAll("button[data-field]")) button.addEventListener("click", () =>
    narrow({field: button.dataset.field, value: button.dataset.value, label: `${button.dataset.field}: ${button.dataset.value}`}));
  for (const button of document.querySelectorAll("button[data-pair]")) button.addEventListener("click", () => {
    const {pair: kind, reference, hypothesis} = button.dataset;
    narrow({kind, reference, hypothesis, label: `${reference || "(nothing)"} → ${hypothesis || "(nothing)"}`});
  });
  const move = (by) => {
    const articles = [...list.children], place = articles.indexOf(document.activeElement.closest?.("article"));
    if (place + by >= articles.length && !more.hidden) { extend(); return move(by); }
    articles[Math.min(articles.length - 1, Math.max(0, place + by))]?.focus();
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "Escape" && typing) event.target.blur();
    if (typing) return;
    const owner = document.activeElement.closest?.("article");
    if (event.key === "/") search.focus();
    else if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === " " && owner?.utterance.audio && event.target.tagName !== "BUTTON") toggle(owner);
    else return;
    event.preventDefault();
  });
  let typed;
  search.addEventListener("input", () => { clearTimeout(typed); typed = setTimeout(refresh, 120); });
  sort.addEventListener("change", refresh);
  show.addEventListener("change", refresh);
  clear.addEventListener("click", () => { narrowed = null; refresh(); });
  more.addEventListener("click", extend);
  find("filters").addEventListener("submit", (event) => event.preventDefault());
  find("filters").hidden = false;
  document.querySelector(".legend").hidden = false;
  refresh();
})();
