"""The operations plane of a trading firm.

Read in this order: `events` (what processes say to each other), `audit` (the log that nobody
can change unseen), `adapters` (the only I/O), `service` (each command and query once), then the
faces (`cli`) and the processes (`workers`).
"""
