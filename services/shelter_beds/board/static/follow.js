// Keeps parts of a page up to date: looks at the page again, and takes over each part whose state is another one.

import { begun, isSignedOutBy, show } from "./connection.js";
import { now } from "./ticking.js";

const SOON = 2000; // ms
const LATER = 10000; // ms
const OFTEN = 30; // so many looks at first
const address = document.querySelector("[data-follow]").dataset.follow;

let heard = begun;
let state = "as_of"; // not looked again yet
let isSignedOut = false;

async function look(looks) {
  try {
    const answer = await fetch(address);
    isSignedOut = isSignedOutBy(answer);
    if (isSignedOut || !answer.ok) throw new Error(String(answer.status));
    take(new DOMParser().parseFromString(await answer.text(), "text/html"));
    [heard, state] = [now(), "live"];
  } catch {
    state = "reconnecting";
  }
  showConnection();
  setTimeout(look, looks < OFTEN ? SOON : LATER, looks + 1);
}

const showConnection = () => show(heard, state, isSignedOut, address);

function take(page) {
  for (const part of document.querySelectorAll("[data-state]")) {
    const fresh = page.getElementById(part.id);
    if (!fresh || fresh.dataset.state === part.dataset.state) continue;
    if (part.contains(document.activeElement)) continue; // nobody at a button is disturbed
    if ([...part.querySelectorAll("form")].some(isFilledIn)) continue; // nor is taken away what somebody typed
    part.replaceWith(document.adoptNode(fresh));
  }
}

const isFilledIn = (form) => [...form.elements].some(isChanged);

function isChanged(field) {
  if (field.matches("select")) return field.selectedIndex > 0;
  if (field.matches("[type=checkbox], [type=radio]")) return field.checked !== field.defaultChecked;
  return field.matches("input") && (field.value !== field.defaultValue || field.validity.badInput);
}

setInterval(showConnection, 1000);
setTimeout(look, SOON, 0);
