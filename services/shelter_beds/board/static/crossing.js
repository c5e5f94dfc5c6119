// Keeps the line of what a shelter has up to date while its page is open.

import "./ticking.js";

const SOON = 2000; // ms
const LATER = 10000; // ms
const OFTEN = 30; // so many looks at first

async function look(element, looks) {
  const answer = await fetch(element.dataset.follow).catch(() => null);
  if (answer?.ok) {
    const part = new DOMParser().parseFromString(await answer.text(), "text/html");
    const [now, then] = [part.querySelector(".crossing"), element.querySelector(".crossing")];
    if (now && then.textContent !== now.textContent) then.replaceWith(now);
  }
  setTimeout(look, looks < OFTEN ? SOON : LATER, element, looks + 1);
}

for (const element of document.querySelectorAll("[data-follow]")) setTimeout(look, SOON, element, 0);
