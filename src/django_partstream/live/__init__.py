"""Live streams: parts that are sent again when something changed."""

from .checking import Checked, Permitted, is_check, is_live, is_wanted
from .following import follow

__all__ = ("Checked", "Permitted", "follow", "is_check", "is_live", "is_wanted")
