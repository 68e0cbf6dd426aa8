"""Logs, warnings, figures and reports of a search."""

from snas_keras.reports._health import HealthGuard
from snas_keras.reports._health_checks import HEALTH_CHECKS
from snas_keras.reports._health_facts import Facts
from snas_keras.reports._log import SearchLogger
from snas_keras.reports._page import search_report
from snas_keras.reports._read import read_log
from snas_keras.reports._records import Epoch
from snas_keras.reports._retention import retention_report
from snas_keras.reports._retention_report import RetentionReport
from snas_keras.reports._space import SpaceReport, space_report
from snas_keras.supernet import SearchWarning

__all__ = [
    "HEALTH_CHECKS",
    "Epoch",
    "Facts",
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
