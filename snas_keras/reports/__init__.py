"""What a search leaves behind: logs, warnings, figures, reports."""

from snas_keras.reports._health import HealthGuard, SearchWarning
from snas_keras.reports._log import SearchLogger, read_log
from snas_keras.reports._page import search_report
from snas_keras.reports._retention import RetentionReport, retention_report
from snas_keras.reports._space import SpaceReport, space_report

__all__ = [
    "HealthGuard",
    "RetentionReport",
    "SearchLogger",
    "SearchWarning",
    "SpaceReport",
    "read_log",
    "retention_report",
    "search_report",
    "space_report",
]
