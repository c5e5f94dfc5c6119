// Reads the feed with npm's `eventsource` and prints each event as a line of JSON.
import { EventSource } from "eventsource";

const [url, token] = process.argv.slice(2);
const source = new EventSource(url, {
  fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, Authorization: `Bearer ${token}` } }),
});
for (const name of ["snapshot", "changes", "reset", "goodbye"]) {
  source.addEventListener(name, (event) => {
    console.log(JSON.stringify({ event: name, id: event.lastEventId, data: JSON.parse(event.data) }));
  });
}
