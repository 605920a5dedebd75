"""The watchdogs: each looks at one thing from the stream and says when it is not well."""

from operations.watchdogs import portfolio_vol_dd, predictive_health, strategy_watchdog

ALL = (portfolio_vol_dd.WATCHDOG, predictive_health.WATCHDOG, strategy_watchdog.WATCHDOG)
