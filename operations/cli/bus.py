"""How a command reaches NATS: as the user of the settings, else as a user of this fleet.

Nothing else stands here, so that a halt loads no database driver before it is sent.
"""

import msgspec

from operations import config
from operations.adapters import accounts, credentials
from operations.config import Nats, Settings


def password(nats: Nats) -> str:
    """Return the password of these settings, wherever it stands."""
    return config.secret(nats.password, nats.password_file)


def nats(settings: Settings, user: str) -> Nats:
    """Return how to connect to NATS: as MTS_NATS_USER, or as a user of this fleet.

    Raises Rejected if there are no credentials.
    """
    if settings.nats.user:
        return msgspec.structs.replace(settings.nats, url=credentials.nats_url(settings))
    return msgspec.structs.replace(
        settings.nats,
        url=credentials.nats_url(settings),
        user=user,
        password=credentials.read_secret(credentials.nats_secret_file(settings, user)),
        inbox=accounts.inbox(user),
    )
