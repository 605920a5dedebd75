"""A stream that an administrator throws away and makes anew."""

import json

from support import NatsHandle

from operations.adapters import consumers, provision


async def admin(nats: NatsHandle, subject: str, body: bytes = b"") -> dict:
    client = await nats.connect()
    try:
        answer = await client.request(f"$JS.API.{subject}", body, timeout=30)
    finally:
        await client.close()
    return json.loads(answer.data)


async def made_anew(nats: NatsHandle, **changes):
    """Replace the stream by an empty one with the same consumers."""
    config = (await admin(nats, "STREAM.INFO.MTS"))["config"] | changes
    assert (await admin(nats, "STREAM.DELETE.MTS"))["success"]
    answer = await admin(nats, "STREAM.CREATE.MTS", json.dumps(config).encode())
    assert "error" not in answer
    client = await nats.connect()
    try:
        for consumer in consumers.ALL:
            await provision._ensure_consumer(client, "MTS", consumer)
    finally:
        await client.close()
