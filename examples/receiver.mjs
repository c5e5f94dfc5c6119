// A receiver of webhooks: verifies, answers at once, does each event once and none that is older than what it has.
//
//   WEBHOOK_SECRET=whsec_... node examples/receiver.mjs 9000
//
// It needs no package; npm's `standardwebhooks` does what `verified` does. It prints one line for each event, and
// nothing of a person: what is shared belongs into your system, not into a log.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const KEY = Buffer.from(process.env.WEBHOOK_SECRET.replace("whsec_", ""), "base64");
const FRESH = 5 * 60; // seconds a timestamp may be off
const LARGEST = 1_000_000; // bytes; a webhook has far fewer
// Keep these two in your database, in the transaction that does the work: a receiver may be restarted.
const done = new Set();
const newest = new Map();

const server = createServer({ requestTimeout: 10_000 }, async (request, response) => {
  const body = await whole(request);
  if (request.method !== "POST" || !verified(request.headers, body)) {
    console.log("refused: not signed by Threshold, or too old");
    response.writeHead(400).end();
    return;
  }
  response.writeHead(204).end(); // before anything is done about it
  work(request.headers["webhook-id"], JSON.parse(body));
});

async function whole(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > LARGEST) return Buffer.alloc(0);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

// Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, as one of the signatures in the header.
function verified(headers, body) {
  const { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signatures } = headers;
  if (!id || !/^\d+$/.test(timestamp ?? "") || Math.abs(Date.now() / 1000 - Number(timestamp)) > FRESH) return false;
  const expected = createHmac("sha256", KEY).update(`${id}.${timestamp}.`).update(body).digest();
  return (signatures ?? "").split(" ").some((one) => {
    const [version, signature] = one.split(",");
    const found = Buffer.from(signature ?? "", "base64");
    return version === "v1" && found.length === expected.length && timingSafeEqual(found, expected);
  });
}

function work(webhookId, message) {
  // It is sent again whenever our answer got lost; and retries may overtake each other.
  if (done.has(webhookId)) console.log(`again:   ${message.type}, done before`);
  else if (isOlder(message.data)) console.log(`older:   ${message.type}, a newer one is there`);
  else console.log(`new:     ${told(message)}`); // here your system would keep message.data
  done.add(webhookId);
}

function isOlder(data) {
  const [about, version] = whatAbout(data);
  if (version < (newest.get(about) ?? 0)) return true;
  newest.set(about, version);
  return false;
}

// What is shared and how it stands are two things of a referral: an old status takes nothing of a client away.
function whatAbout(data) {
  if (data.unit_id && data.version) return [data.unit_id, data.version];
  const referral = data.referral_id ?? data.reference;
  return [[referral, data.client_id, data.verdict].join(" "), data.referral_version ?? 0];
}

// One line for people: the type, the verdict, the status and which categories came, never what is in them.
function told({ type, data }) {
  const categories = Object.keys(data.shared ?? {}).sort().join(", ");
  return [type, data.verdict, data.status, categories].filter(Boolean).join(" | ");
}

server.listen(Number(process.argv[2]), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}/`);
});
