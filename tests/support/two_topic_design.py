"""The design that we did not take, as a control: consents on a topic of their own, joined through a Faust table.

Stock Faust, exactly as its documentation has it. Run as a worker: `python -m tests.support.two_topic_design worker -l
error`, with CONTROL_KAFKA and CONTROL_DATA in the environment. A race test that finds no leak here is no test.
"""

import os

import faust

CONSENTS, EVENTS, CROSSED = "control-consents", "control-events", "control-crossed"

app = faust.App(
    "two-topic-design",
    broker=f"kafka://{os.environ.get('CONTROL_KAFKA', '127.0.0.1:1')}",
    datadir=os.environ.get("CONTROL_DATA", "."),
    store="memory://",
    broker_session_timeout=6,
    broker_heartbeat_interval=1,
    broker_rebalance_timeout=10,
    topic_partitions=12,
    topic_replication_factor=1,
    topic_disable_leader=True,
    web_enabled=False,
    stream_wait_empty=False,
)
consents = app.topic(CONSENTS, key_type=str, value_type=str, key_serializer="raw", value_serializer="raw")
events = app.topic(EVENTS, key_type=str, value_type=str, key_serializer="raw", value_serializer="raw")
crossed = app.topic(CROSSED, key_type=str, value_type=str, key_serializer="raw", value_serializer="raw")
granted = app.Table("granted", default=str)


@app.agent(consents)
async def follow(stream: faust.StreamT[str]) -> None:
    """Keep each client's latest consent."""
    async for client, consent in stream.items():
        granted[_text(client)] = _text(consent)


@app.agent(events)
async def enforce(stream: faust.StreamT[str]) -> None:
    """Let an event cross if its client's consent, as far as it was seen, is a grant."""
    async for client, event in stream.items():
        if granted[_text(client)] == "granted":
            await crossed.send(key=client, value=event)


def _text(raw: object) -> str:
    return raw.decode() if isinstance(raw, bytes) else str(raw)


if __name__ == "__main__":
    app.main()
