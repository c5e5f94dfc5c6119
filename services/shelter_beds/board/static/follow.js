// Keeps parts of a page up to date: looks at the page again, and takes over each part whose state is another one.

import "./ticking.js";

const SOON = 2000; // ms
const LATER = 10000; // ms
const OFTEN = 30; // so many looks at first
const address = document.querySelector("[data-follow]")?.dataset.follow;

async function look(looks) {
  const answer = await fetch(address).catch(() => null);
  if (answer?.ok) take(new DOMParser().parseFromString(await answer.text(), "text/html"));
  setTimeout(look, looks < OFTEN ? SOON : LATER, looks + 1);
}

function take(page) {
  for (const part of document.querySelectorAll("[data-state]")) {
    const now = page.getElementById(part.id);
    if (!now || now.dataset.state === part.dataset.state) continue;
    if (part.contains(document.activeElement)) continue; // nobody at a button is disturbed
    part.replaceWith(document.adoptNode(now));
  }
}

if (address) setTimeout(look, SOON, 0);
