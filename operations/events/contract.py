"""The contract as documents: AsyncAPI 3, one JSON Schema per subject, and a table for people.

All are generated from the Structs, so the documents cannot say anything that the code does not
do. They are checked in; a test generates them again and compares.
"""

import re
from typing import Any

import msgspec

from operations.events.base import DECIMAL_PATTERN, MAX_BYTES, REQUIRED, Event
from operations.events.subjects import ALL

ASYNCAPI = "asyncapi.json"
TABLE = "events.md"
# Numbers arrive as JSON numbers or decimal strings; we emit strings. The pattern binds strings.
DECIMAL = {
    "type": ["string", "number"],
    "format": "decimal",
    "pattern": DECIMAL_PATTERN,
}
HEADERS = {
    "type": "object",
    "properties": {
        "Nats-Msg-Id": {"type": "string", "description": "<subject>:<event_id>"},
        "Mts-Signature": {
            "type": "string",
            "description": "Ed25519 signature, on everything that can move the operations plane.",
        },
    },
}


def documents() -> dict[str, str]:
    """Return every generated document by its path below docs/."""
    made = {ASYNCAPI: _json(asyncapi()), TABLE: table()}
    made |= {f"schemas/{file_name(kind)}": _json(schema(kind)) for kind in ALL}
    return made


def address(kind: type[Event]) -> str:
    """Return the subject of a kind of event, with its parameters as {name}."""
    return kind.pattern.replace("{data.", "{")


def file_name(kind: type[Event]) -> str:
    """Return the name of the JSON Schema file of a kind of event."""
    return re.sub(r"[{}]", "", address(kind)) + ".json"


def schema(kind: type[Event]) -> dict[str, Any]:
    """Return the JSON Schema 2020-12 of a kind of event, complete in itself."""
    made = msgspec.json.schema(kind)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:mts:{address(kind)}".replace("{", "").replace("}", ""),
        "title": kind.__name__,
        "$ref": made["$ref"],
        "$defs": {name: _fitted(part) for name, part in made["$defs"].items()},
    }


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document of all subjects, seen from the operations plane."""
    _, components = msgspec.json.schema_components(ALL, ref_template="#/components/schemas/{name}")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "mts1b-operations",
            "version": "1",
            "description": "Events on mts.v1.>, captured by one JetStream stream. A payload is one"
            f" JSON object of at most {MAX_BYTES} bytes. New fields have defaults; anything else"
            " is a new version in the subject. Unknown fields are ignored.",
        },
        "defaultContentType": "application/json",
        "channels": {kind.__name__: _channel(kind) for kind in ALL},
        "operations": {kind.__name__: _operation(kind) for kind in ALL},
        "components": {
            "messages": {kind.__name__: _message(kind) for kind in ALL},
            "schemas": {name: _fitted(components[name]) for name in sorted(components)},
        },
    }


def table() -> str:
    """Return the table of subjects in Markdown."""
    lines = [
        "# Events",
        "",
        "Generated from `operations/events` by `make contract`; do not edit. Each name links to",
        "the JSON Schema of the event with the meaning and unit of every field.",
    ]
    speaker = ""
    for kind in ALL:
        if kind.__module__ != speaker:
            speaker = kind.__module__
            lines += ["", f"## {speaker.rpartition('.')[2]}", ""]
            lines += ["| subject | event | what it says |", "|---|---|---|"]
        link = f"[{kind.__name__}](schemas/{file_name(kind)})"
        lines.append(f"| `{address(kind)}` | {link} | {_said(kind)} |")
    return "\n".join(lines) + "\n"


def _channel(kind: type[Event]) -> dict[str, Any]:
    names = re.findall(r"\{(\w+)\}", address(kind))
    parameters = {
        name: {
            "description": f"`data.{name}` of the payload.",
            "location": f"$message.payload#/data/{name}",
        }
        for name in names
    }
    channel: dict[str, Any] = {
        "address": address(kind),
        "messages": {kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"}},
    }
    return channel | ({"parameters": parameters} if parameters else {})


def _operation(kind: type[Event]) -> dict[str, Any]:
    ours = kind.pattern.startswith("mts.v1.operations.")
    from_people = kind.pattern.startswith("mts.v1.operations.command.")
    return {
        "action": "send" if ours and not from_people else "receive",
        "channel": {"$ref": f"#/channels/{kind.__name__}"},
        "summary": _said(kind),
    }


def _message(kind: type[Event]) -> dict[str, Any]:
    return {
        "name": kind.__name__,
        "summary": _said(kind),
        "headers": HEADERS,
        "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
    }


def _said(kind: type[Event]) -> str:
    return (kind.__doc__ or "").partition("\n")[0]


def _fitted(node: Any) -> Any:
    """Adapt what msgspec generates to what `base.read` accepts."""
    if isinstance(node, list):
        return [_fitted(part) for part in node]
    if not isinstance(node, dict):
        return node
    node = {key: _fitted(value) for key, value in node.items()}
    if node.get("format") == "decimal":
        return node | DECIMAL
    properties = node.get("properties")
    if isinstance(properties, dict) and set(REQUIRED) <= properties.keys():
        for name in REQUIRED:
            properties[name].pop("default", None)
        node["required"] = [*REQUIRED, *node["required"]]
    return node


def _json(document: dict[str, Any]) -> str:
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"
