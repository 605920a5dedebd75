"""What can be set in this release: the limits of every check."""

from operations import watchdogs
from operations.settings.catalogue import Catalogue


def catalogue() -> Catalogue:
    """Return every check that has limits."""
    return Catalogue({watchdog.name: watchdog.limits for watchdog in watchdogs.ALL})
