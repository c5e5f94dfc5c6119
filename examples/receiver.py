"""A receiver of webhooks: verifies, answers at once, does each event once and none that is older than what it has.

    pip install standardwebhooks
    WEBHOOK_SECRET=whsec_... python examples/receiver.py 9000

It prints one line for each event, and nothing of a person: what is shared belongs into your system, not into a log.
"""

import os
import queue
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

WEBHOOK = Webhook(os.environ["WEBHOOK_SECRET"])
LARGEST = 1_000_000  # bytes; a webhook has far fewer
TO_DO: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue()
# Keep these two in your database, in the transaction that does the work: a receiver may be restarted.
done: set[str] = set()
newest: dict[tuple[str, ...], int] = {}


class Receiver(BaseHTTPRequestHandler):
    """Takes what is signed and not too old, and answers before anything is done about it."""

    timeout = 10  # seconds: nobody keeps a connection for ever

    def do_POST(self) -> None:
        try:
            length = int(self.headers["Content-Length"] or 0)
            body = self.rfile.read(length) if 0 < length <= LARGEST else b""
            # Checks the signature, and that the timestamp is at most five minutes off.
            message = WEBHOOK.verify(body, dict(self.headers.items()))
        except (WebhookVerificationError, ValueError):
            print("refused: not signed by Threshold, or too old", flush=True)
            self.answer(400)
            return
        TO_DO.put((self.headers["webhook-id"], message))
        self.answer(204)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: every line here is about an event."""


def work() -> None:
    """Do what was taken, one event after another."""
    while True:
        webhook_id, message = TO_DO.get()
        if webhook_id in done:  # it is sent again whenever our answer got lost
            print(f"again:   {message['type']}, done before", flush=True)
        elif is_older(message["data"]):  # retries may overtake each other
            print(f"older:   {message['type']}, a newer one is there", flush=True)
        else:
            print(f"new:     {told(message)}", flush=True)  # here your system would keep message["data"]
        done.add(webhook_id)


def is_older(data: dict[str, Any]) -> bool:
    """Whether something newer about the same thing was done; else this is the newest."""
    about, version = what_about(data)
    if version < newest.get(about, 0):
        return True
    newest[about] = version
    return False


def what_about(data: dict[str, Any]) -> tuple[tuple[str, ...], int]:
    """What is shared and how it stands are two things of a referral: an old status takes nothing of a client away."""
    if "unit_id" in data and "version" in data:
        return (data["unit_id"],), data["version"]
    referral = data.get("referral_id") or data.get("reference", "")
    return (referral, data.get("client_id", ""), data.get("verdict", "")), data.get("referral_version", 0)


def told(message: dict[str, Any]) -> str:
    """One line for people: the type, the verdict, the status and which categories came, never what is in them."""
    data = message["data"]
    said = [data.get("verdict"), data.get("status"), ", ".join(sorted(data.get("shared", {})))]
    return " | ".join([message["type"], *(word for word in said if word)])


if __name__ == "__main__":
    threading.Thread(target=work, daemon=True).start()
    with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver) as server:
        print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
        server.serve_forever()
