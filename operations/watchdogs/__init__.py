"""The watchdogs: each looks at one thing from the stream and says when it is not well."""

from operations.watchdogs import portfolio_vol_dd

ALL = (portfolio_vol_dd.WATCHDOG,)
