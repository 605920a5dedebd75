"""How a service of ours reaches the bus as itself: its user, its key, its publisher."""

from operations.adapters import roster_files
from operations.adapters.credentials import nats_url
from operations.adapters.link import Access
from operations.adapters.publisher import Publisher
from operations.config import Settings, secret
from operations.signing.message import Signer


def access(settings: Settings) -> Access:
    """Return where the bus is and as whom this process logs in."""
    nats = settings.nats
    return Access(
        url=nats_url(settings),
        user=nats.user,
        password=secret(nats.password, nats.password_file),
        inbox=nats.inbox,
        ca_file=nats.ca_file,
    )


def signer(settings: Settings) -> Signer:
    """Return what signs in the name of this service. Raises Rejected when its key is missing."""
    key = roster_files.read_private(settings.service_key_path)
    return Signer(key, settings.audit.origin, settings.environment)


def publisher(settings: Settings, actor: str, drain_seconds: float = 30.0) -> Publisher:
    """Return a publisher whose events carry the signature of this service."""
    return Publisher(
        access(settings), actor=actor, signer=signer(settings), drain_seconds=drain_seconds
    )
