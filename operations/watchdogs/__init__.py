"""The watchdogs: each looks at one thing from the stream and says when it is not well."""

from operations.watchdogs import db_watchdog, dependency_watchdog, portfolio_vol_dd

ALL = (db_watchdog.WATCHDOG, dependency_watchdog.WATCHDOG, portfolio_vol_dd.WATCHDOG)
