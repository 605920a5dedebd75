"""The exceptions of the product: a class only where something different is done.

OperationsError
├─ Retryable   the outside failed for now         wait and retry in place
├─ Rejected    this message can never be handled  go on without it and report it once
├─ Denied      this person may not                refuse, and publish an event
└─ Corrupted   our own truth cannot be trusted    stop, raise a finding, call a person

A problem in data is a finding, not an exception. A message says what happened, with the values,
and what to do next.
"""


class OperationsError(Exception):
    """Something this product has a policy for went wrong."""


class Retryable(OperationsError):  # noqa: N818 (the name says what to do)
    """An outside system failed for now; the same call may succeed later."""


class Rejected(OperationsError):  # noqa: N818 (the name says what to do)
    """The input can never be handled; trying again changes nothing."""


class Denied(OperationsError):  # noqa: N818 (the name says what to do)
    """This person or service is not allowed to do this."""


class Corrupted(OperationsError):  # noqa: N818 (the name says what to do)
    """Our own records contradict each other; nothing may be written on top of them."""
