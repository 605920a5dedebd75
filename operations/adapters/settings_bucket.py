"""The bucket of NATS KV with what people set: read as it grows, written only where it was read.

Each write names the revision that it replaces, so of two writers only one wins. Who writes past
the settings service is found, because every message of the bucket is looked at.
"""

import json
from typing import NamedTuple

from operations.adapters import accounts, stored, stream
from operations.adapters.stream import ApiError
from operations.adapters.wire import WireClient
from operations.errors import Retryable
from operations.settings.book import FIRM, Place

WRONG_LAST_SEQUENCE = 10071
_PLAIN = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-")


class Held(NamedTuple):
    """What stands under a key. The revision is its place in the stream of the bucket; 0: none."""

    value: bytes
    revision: int
    at_ns: int


NOTHING = Held(b"", 0, 0)


class Bucket:
    """Everything that the bucket holds; `refresh` before looking.

    `written` is every message that was read and not looked at yet, by key in the order of the
    bucket: what stood there for a moment only is in it too.
    """

    def __init__(self, client: WireClient) -> None:
        self.created_ns = 0
        self.written: list[tuple[str, Held]] = []
        self._client = client
        self._held: dict[str, Held] = {}
        self._reached = 0

    def get(self, key: str) -> Held:
        """Return what stands under a key."""
        return self._held.get(key, NOTHING)

    def keys(self) -> frozenset[str]:
        """Return every key there is."""
        return frozenset(self._held)

    async def refresh(self) -> None:
        """Read what is new; a bucket that was made anew is read from its beginning."""
        info = await stream.info(self._client, accounts.SETTINGS_STREAM)
        if info.created_ns != self.created_ns or info.state.last_seq < self._reached:
            self._held, self._reached, self.created_ns = {}, 0, info.created_ns
        if info.state.last_seq == self._reached:
            return
        prefix = f"{accounts.SETTINGS_KEYS}."
        found = stored.following(
            self._client, accounts.SETTINGS_STREAM, f"{prefix}>", self._reached + 1
        )
        async for each in found:
            assert each.sequence is not None
            key = each.subject.removeprefix(prefix)
            held = self._held[key] = Held(each.payload, each.sequence, each.at_ns)
            self.written.append((key, held))
            self._reached = each.sequence

    async def put(self, key: str, value: bytes) -> int:
        """Replace what was read under a key and return its revision, 0 if it stands no more.

        Raises Retryable when NATS does not answer or takes nothing.
        """
        expected = str(self.get(key).revision)
        try:
            answer = await self._client.request(
                f"{accounts.SETTINGS_KEYS}.{key}",
                value,
                timeout=stream.REQUEST_SECONDS,
                headers={"Nats-Expected-Last-Subject-Sequence": expected},
            )
        except TimeoutError as error:
            raise Retryable(f"NATS KV did not answer when {key} was written") from error
        said = json.loads(answer.data)
        if refusal := said.get("error"):
            if refusal.get("err_code") == WRONG_LAST_SEQUENCE:
                return 0
            raise ApiError(f"NATS KV refused {key}: {refusal.get('description')}", 0)
        self._held[key] = Held(value, int(said["seq"]), 0)
        return int(said["seq"])


def key_of(place: Place) -> str:
    """Return the key of a place: `firm.vpin.high`, `fund.alpha.vpin.high`.

    Funds may have any name; what a key cannot hold is written as = and two hexadecimal digits.
    """
    if place.fund_id == FIRM:
        return f"firm.{place.setting}"
    name = "".join(
        chr(each) if chr(each) in _PLAIN else f"={each:02X}" for each in place.fund_id.encode()
    )
    return f"fund.{name}.{place.setting}"
