"""The processes of the fleet: one module each, wired from `operations`, and what runs them."""

WORKERS = (
    "audit", "checkpoint", "projection", "evidence", "limits", "measure", "settings", "actions",
    "halt", "watchdogs", "notifications", "canary",
)  # fmt: skip
