// Lets the ages and times of a page go on without the network, in the words of the page's own catalogue.
// services/shelter_beds/board/times.py says the same on the server.

const MINUTE = 60;
const HOUR = 3600;
const DAY = 24 * HOUR;
const messages = JSON.parse(document.body.dataset.messages);
let ahead = Number(document.body.dataset.now) - Date.now() / 1000;

/** Unix time by the server's clock. */
export const now = () => Date.now() / 1000 + ahead;

/** Takes over the server's clock, which an event of it told (RFC 3339). */
export function correct(at) {
  const told = Date.parse(at) / 1000;
  if (!Number.isNaN(told)) ahead = told - Date.now() / 1000;
}

/** Says a message of the catalogue. */
export function say(key, values = {}) {
  const form = key in messages ? key : `${key}.${values.count === 1 ? "one" : "other"}`;
  return messages[form].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

export function duration(seconds) {
  if (seconds < 90 * MINUTE) return say("duration.minutes", { count: Math.floor(Math.max(seconds, 0) / MINUTE) });
  if (seconds < 48 * HOUR) return say("duration.hours", { count: Math.floor(seconds / HOUR) });
  return say("duration.days", { count: Math.floor(seconds / DAY) });
}

export function countdown(seconds) {
  const left = Math.floor(seconds);
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(left / HOUR), Math.floor((left % HOUR) / MINUTE)];
  return hours ? `${hours}:${two(minutes)}:${two(left % MINUTE)}` : `${minutes}:${two(left % MINUTE)}`;
}

/** When a report is overdue: half its own rhythm after the next was due. */
const overdue = (from, to) => to + (to - from) * 0.5;

/** Says what an element's times mean at a moment; null for one whose time has come. */
export function words(kind, from, to, moment) {
  if (kind === "report") {
    const age = duration(moment - from);
    if (moment >= to && moment < overdue(from, to)) return say("report.due", { duration: age });
    if (moment >= to) return say("report.overdue", { duration: age, overdue: duration(moment - to) });
    return moment - from < MINUTE ? say("report.just_now") : say("report.fresh", { duration: age });
  }
  if (kind === "expiry") return to <= moment ? say("hold.over") : say("hold.left", { duration: countdown(to - moment) });
  if (to <= moment) return null;
  return say(kind === "open" ? "intake.closes" : "intake.opens", { duration: duration(to - moment) });
}

function tick() {
  const moment = now();
  for (const element of document.querySelectorAll("[data-tick]")) {
    const { tick: kind, from, to } = element.dataset;
    const said = words(kind, Number(from), Number(to), moment);
    if (said === null) element.dispatchEvent(new CustomEvent("due", { bubbles: true }));
    else if (element.textContent !== said) element.textContent = said;
    if (kind === "report") element.classList.toggle("overdue", moment >= overdue(Number(from), Number(to)));
  }
}

tick();
setInterval(tick, 1000);
