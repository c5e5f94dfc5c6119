// Keeps the board up to date: hears from the feed which units changed, and fetches their cards as the server makes them.

import { begun, isSignedOutBy, show as showState } from "./connection.js";
import { correct, say } from "./ticking.js";

const FETCH_EVERY = 2000; // ms; less often when answers are slow, so that many boards can't pull a server down
const ANNOUNCE_EVERY = 10000; // ms
const CHECKED_EVERY = 9 * 60 * 1000; // ms; with a new connection the server looks at the session again
const SIGNED_OUT_EVERY = 15000; // ms; somebody may sign in again beside it
const MOST_NAMED = 3;
const MOST_AT_ONCE = 100; // units; their ids stand in the address

const list = document.getElementById("units");
const announcement = document.getElementById("announcement");

const waiting = new Map(); // units to fetch, and the version of each that was told
let changed = new Map();
let heard = begun; // until when the server had read all, as far as it told
let isOpen = null; // not known yet
let fetching = false;
let isSummaryDue = false; // a unit left, or the session may be over
let isBehind = false; // a change was told whose card could not be fetched
let isSignedOut = false;

function showConnection() {
  const isLive = isOpen && !isBehind;
  showState(heard, isLive ? "live" : isOpen === null ? "as_of" : "reconnecting", isSignedOut);
}

function hear(at, complete = null) {
  correct(at);
  if (complete && !isBehind) heard = Date.parse(complete) / 1000;
  isOpen = true;
  showConnection();
}

function connect() {
  const source = new EventSource(document.body.dataset.feed);
  const on = (name, take) => source.addEventListener(name, (event) => take(JSON.parse(event.data)));
  on("snapshot", ({ at, items }) => {
    hear(at);
    takeSnapshot(items);
  });
  on("changes", ({ at, items, removed }) => {
    hear(at);
    for (const item of items) waiting.set(item.unit_id, item.version);
    for (const unit of removed) drop(unit);
    refresh();
  });
  on("heartbeat", ({ at, read_to_end_at }) => hear(at, read_to_end_at));
  const checked = setTimeout(() => {
    source.close();
    connect();
  }, CHECKED_EVERY * (1 + Math.random() / 9));
  source.addEventListener("error", () => {
    isOpen = false;
    showConnection();
    if (source.readyState !== EventSource.CLOSED) return;
    clearTimeout(checked);
    source.close(); // the server refused; the browser would not come back by itself
    isSummaryDue = true; // its answer tells whether the session is over
    refresh();
    setTimeout(connect, 5000 + Math.random() * 5000);
  });
}

function takeSnapshot(items) {
  const there = new Set(items.map((item) => item.unit_id));
  for (const card of [...list.children]) if (!there.has(card.dataset.unit)) drop(card.dataset.unit);
  for (const { unit_id, version } of items) {
    const card = cardOf(unit_id);
    if (!card || Number(card.dataset.version) < version) waiting.set(unit_id, version);
  }
  refresh();
}

const cardOf = (unit) => [...list.children].find((card) => card.dataset.unit === unit);

function drop(unit) {
  const card = cardOf(unit);
  waiting.delete(unit);
  if (!card) return;
  if (card.contains(document.activeElement)) document.getElementById("main").focus({ preventScroll: true });
  card.remove();
  changed.set(unit, say("live.gone", { name: card.querySelector("h2").textContent }));
  isSummaryDue = true;
  showEmpty();
}

function showEmpty() {
  document.getElementById("empty").hidden = list.children.length > 0;
}

async function refresh() {
  if (fetching || !(waiting.size || isSummaryDue)) return;
  fetching = true;
  isSummaryDue = false;
  const asked = new Map([...waiting].slice(0, MOST_AT_ONCE));
  for (const unit of asked.keys()) waiting.delete(unit);
  const began = performance.now();
  try {
    const answer = await fetch(cardsAddress([...asked.keys()]));
    isSignedOut = isSignedOutBy(answer);
    if (isSignedOut || !answer.ok) throw new Error(String(answer.status));
    isBehind = false;
    show(asked, await answer.text());
  } catch {
    isBehind = isSummaryDue = true;
    asked.forEach((version, unit) => waiting.has(unit) || waiting.set(unit, version));
  }
  setTimeout(() => {
    fetching = false;
    refresh();
  }, Math.max(isSignedOut ? SIGNED_OUT_EVERY : FETCH_EVERY, 10 * (performance.now() - began)));
}

function cardsAddress(units) {
  const wanted = new URLSearchParams(location.search);
  units.forEach((unit) => wanted.append("unit", unit));
  return `${document.body.dataset.cards}?${wanted}`;
}

function show(asked, html) {
  const part = new DOMParser().parseFromString(html, "text/html");
  document.getElementById("summary").replaceWith(part.getElementById("summary"));
  const [own, fresh] = [document, part].map((each) => each.getElementById("own"));
  if (own && fresh && !own.contains(document.activeElement)) own.replaceWith(fresh);
  for (const [unit, version] of asked) {
    const card = part.getElementById(`unit-${unit}`);
    if (card) put(document.adoptNode(card));
    else drop(unit); // the summary that came with it does without it already
    // Another process answered, which has not read so far yet.
    if (card && Number(card.dataset.version) < version && !waiting.has(unit)) waiting.set(unit, version);
  }
  isSummaryDue = false;
  showEmpty();
}

function put(card) {
  const old = cardOf(card.dataset.unit);
  if (!old || old.dataset.said !== card.dataset.said) changed.set(card.dataset.unit, card.dataset.said);
  if (old?.contains(document.activeElement)) {
    const focused = document.activeElement.className;
    old.replaceWith(card); // it stays where it is while somebody is at it
    card.getElementsByClassName(focused)[0]?.focus({ preventScroll: true });
  } else {
    old?.remove();
    list.insertBefore(card, [...list.children].find((each) => each.dataset.sort > card.dataset.sort) ?? null);
  }
  card.classList.add("changed");
  setTimeout(() => card.classList.remove("changed"), 4000);
}

function announce() {
  if (!changed.size) return;
  const named = [...changed.values()].slice(0, MOST_NAMED).join("; ");
  const units = changed.size > MOST_NAMED ? say("live.more", { units: named }) : named;
  announcement.textContent = say("live.changed", { count: changed.size, units });
  changed = new Map();
}

list.addEventListener("due", ({ target }) => {
  target.removeAttribute("data-tick");
  waiting.set(target.closest("[data-unit]").dataset.unit, 0);
  refresh();
});
document.addEventListener("visibilitychange", showConnection);
setInterval(showConnection, 1000);
setInterval(announce, ANNOUNCE_EVERY);
connect();
