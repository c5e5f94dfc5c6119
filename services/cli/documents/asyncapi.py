"""The AsyncAPI 3.0 document: what stands on each topic, who writes it and who reads it, from `schemas/topics`."""

from typing import Any, Final

from schemas.json_schema import EVENTS, RECORDS, components
from services.kit import topics
from services.kit.topics import Topic

Part = dict[str, Any]

VERSION: Final = "3.0.0"
BINDING_VERSION: Final = "0.5.0"
CONTENT_TYPES: Final = {
    "cloudevent": "application/cloudevents+json",
    "disclosure": "application/json",
    "delivery": "application/json",
}
KINDS: Final = {**EVENTS, **RECORDS}
ABOUT: Final = (
    "What Threshold's services say to each other on Kafka. Each value is canonical JSON: sorted keys, no white space, "
    "nothing written that has its default. The documents of a release stay readable: docs/schemas.md."
)


def document() -> Part:
    """Make the document."""
    declared = topics.load()
    names = sorted(name for topic in declared.values() for name in topic.schema.types)
    return {
        "asyncapi": VERSION,
        "info": {"title": "Threshold: topics", "version": "1", "description": ABOUT},
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in declared.values()},
        "operations": {name: part for topic in declared.values() for name, part in _operations(topic)},
        "components": {
            "messages": {name: _message(name, topic) for topic in declared.values() for name in topic.schema.types},
            "schemas": components([KINDS[name] for name in names], "#/components/schemas/{name}"),
        },
    }


def _channel(topic: Topic) -> Part:
    return {
        "address": topic.name,
        "description": topic.description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in topic.schema.types},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": [topic.cleanup],
                    "retention.ms": topics.FOR_EVER,
                    "retention.bytes": topics.FOR_EVER,
                    "max.message.bytes": topic.max_message_bytes,
                },
                "bindingVersion": BINDING_VERSION,
            }
        },
    }


def _operations(topic: Topic) -> list[tuple[str, Part]]:
    """Give what each service does with a topic: `send`, or `receive` under a group of its own."""
    sent = [(f"{service}.sends.{topic.name}", _operation(topic, "send", service)) for service in topic.writers]
    read = [(f"{service}.receives.{topic.name}", _operation(topic, "receive", service)) for service in topic.readers]
    return [*sent, *read]


def _operation(topic: Topic, action: str, service: str) -> Part:
    return {
        "action": action,
        "summary": f"{service} {'writes' if action == 'send' else 'reads'} {topic.name}",
        "channel": {"$ref": f"#/channels/{topic.name}"},
        "messages": [{"$ref": f"#/channels/{topic.name}/messages/{name}"} for name in topic.schema.types],
        "tags": [{"name": service}],
    }


def _message(name: str, topic: Topic) -> Part:
    kind = KINDS[name]
    return {
        "name": name,
        "title": kind.__name__,
        "summary": (kind.__doc__ or "").partition("\n")[0],
        "contentType": CONTENT_TYPES[topic.schema.format],
        "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
        "bindings": {
            "kafka": {"key": {"type": "string", "description": topic.key}, "bindingVersion": BINDING_VERSION},
        },
    }
