// Keeps a desk's holds up to date: new requests show up, ended ones go, and nobody at a button is disturbed.

import "./ticking.js";

const EVERY = 10000; // ms
const desk = document.querySelector("[data-follow]");

async function look() {
  const answer = await fetch(desk.dataset.follow).catch(() => null);
  if (!answer?.ok) return;
  const part = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const name of ["asked", "placed"]) {
    const shown = document.getElementById(name);
    if (!shown.contains(document.activeElement)) shown.replaceWith(part.getElementById(name));
  }
}

if (desk) {
  setInterval(look, EVERY);
  document.addEventListener("visibilitychange", () => document.hidden || look());
}
