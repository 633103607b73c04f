"""The views of jobs."""

from __future__ import annotations

from .downloading import OperationResultsView
from .following import OperationEventsView
from .listing import OperationListView
from .retrying import OperationRetryView
from .status import OperationStatusView

__all__ = (
    "OperationEventsView",
    "OperationListView",
    "OperationResultsView",
    "OperationRetryView",
    "OperationStatusView",
)
