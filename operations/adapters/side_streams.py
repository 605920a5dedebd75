"""The small streams beside the one of events: what they hold can be lost and made again."""

from collections.abc import Mapping
from typing import Any

from operations.adapters import accounts

VALUES_KEPT = 64  # of each setting, the newest

ALL: tuple[Mapping[str, Any], ...] = (
    # Shows every second whether the disk still takes messages.
    {
        "name": accounts.PROBE_STREAM,
        "subjects": [f"{accounts.PROBE_STORED}.*"],
        "storage": "file",
        "max_msgs_per_subject": 1,
        "max_msgs": 100,
        "discard": "old",
    },
    # The bucket of settings. Nobody can take a message out of it, so no change of it goes unseen.
    {
        "name": accounts.SETTINGS_STREAM,
        "subjects": [f"{accounts.SETTINGS_KEYS}.>"],
        "storage": "file",
        "max_msgs_per_subject": VALUES_KEPT,
        "discard": "new",
        "allow_direct": True,
        "allow_rollup_hdrs": False,
        "deny_delete": True,
        "deny_purge": True,
    },
)
