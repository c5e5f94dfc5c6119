// Says whether a page is up to date: in its line at every moment, and aloud when that changes.

import { now, say } from "./ticking.js";

const SILENT_AFTER = 40; // seconds: two heartbeats, and some

const line = document.getElementById("connection");
const [words, signIn] = line.children;
const aloud = document.getElementById("connection-said");
const clock = new Intl.DateTimeFormat("en-GB", { timeZone: line.dataset.zone, hour: "2-digit", minute: "2-digit" });
let last = "live"; // a page that begins well says nothing

/** When the page was last known to be whole, as its server says (Unix time). */
export const begun = Number(line.dataset.heard);

/** Whether an answer to a script says that the session is over. */
export const isSignedOutBy = (answer) => answer.status === 401 || answer.redirected;

/** Shows "signed_out", "lost" where nothing was heard for too long, else `state`. `heard` is a Unix time. */
export function show(heard, state, isSignedOut, address = location.pathname + location.search) {
  const shown = isSignedOut ? "signed_out" : now() - heard > SILENT_AFTER ? "lost" : state;
  const isLost = isSignedOut || shown === "lost";
  const said = say(`live.${shown}`, { clock: clock.format(new Date(heard * 1000)) });
  line.className = `connection ${isLost ? "lost" : shown}`;
  document.body.classList.toggle("stale", isLost);
  if (words.textContent !== said) words.textContent = said;
  signIn.hidden = !isSignedOut;
  signIn.href = `/sign-in?next=${encodeURIComponent(address)}`;
  if (shown === last || shown === "as_of") return;
  last = shown;
  aloud.textContent = said;
}
