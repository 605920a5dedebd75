"""The watchdogs: each looks at one thing from the stream and says when it is not well.

The feeds come first: while one is at fault, what depends on it is unknown in the same batch.
"""

from operations.watchdogs import (
    db_watchdog,
    dependency_watchdog,
    drift_monitor,
    feeds,
    news_spike,
    portfolio_vol_dd,
    position_anomaly,
    predictive_health,
    strategy_watchdog,
    theta_watchdog,
    vpin,
)

ALL = (
    feeds.WATCHDOG,
    db_watchdog.WATCHDOG,
    dependency_watchdog.WATCHDOG,
    drift_monitor.WATCHDOG,
    news_spike.WATCHDOG,
    portfolio_vol_dd.WATCHDOG,
    position_anomaly.WATCHDOG,
    predictive_health.WATCHDOG,
    strategy_watchdog.WATCHDOG,
    theta_watchdog.WATCHDOG,
    vpin.WATCHDOG,
)
