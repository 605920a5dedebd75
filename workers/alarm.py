"""Says to everybody that a worker cannot trust our own records, and when it can again.

One finding for each trouble, signed with the key of this service, raised until the stream has it
and cleared when the work goes on. It runs beside the work, so no trouble of the bus delays it.
"""

import msgspec

from operations.adapters import service_bus
from operations.clock import now_ns, rfc3339
from operations.errors import OperationsError
from operations.events.base import Event, derived_id
from operations.events.findings import Finding, FindingCleared, FindingRaised
from workers.runtime import WORKER, Runtime

LOOK_SECONDS = 1.0
PUBLISH_SECONDS = 10.0
RULE = "own-records/v1"


async def watch(runtime: Runtime) -> None:
    """Raise and clear the finding of this worker, until it stops."""
    if not runtime.settings.service_key_file:
        return
    raised: Finding | None = None
    while not runtime.stopping.is_set():
        trouble = runtime.trouble
        working = runtime.conditions.get(WORKER)
        try:
            if trouble and (raised is None or raised.title != trouble):
                raised = _finding(runtime, trouble)
                await _publish(
                    runtime,
                    FindingRaised(event_id=raised.episode, subject_id=runtime.name, data=raised),
                )
            elif raised is not None and working is not None and working.ok:
                over = msgspec.structs.replace(raised, looked_at=rfc3339(now_ns()))
                event_id = derived_id(raised.episode, RULE, "cleared", 0)
                await _publish(
                    runtime,
                    FindingCleared(event_id=event_id, subject_id=runtime.name, data=over),
                )
                raised, runtime.trouble = None, ""
        except OperationsError as error:
            raised = None if trouble else raised  # not published, so it is tried again
            runtime.log.warning("the finding could not be published", reason=str(error))
        await runtime.pause(LOOK_SECONDS)


def _finding(runtime: Runtime, trouble: str) -> Finding:
    """Return the finding; the same trouble is the same episode, also after a restart."""
    return Finding(
        check=runtime.name,
        episode=derived_id(runtime.settings.audit.origin, RULE, runtime.name + trouble, 0),
        severity="critical",
        title=trouble,
        looked_at=rfc3339(now_ns()),
        rule_version=RULE,
        mode="act",
    )


async def _publish(runtime: Runtime, event: Event) -> None:
    publisher = service_bus.publisher(runtime.settings, runtime.name, PUBLISH_SECONDS)
    async with publisher:
        await publisher.publish(event)
