"""Sets Django up where nobody has, for programs that import a module of ours by its
name, as `arq django_partstream.jobs.arq_queue.WorkerSettings` does.

Imported before what needs the models.
"""

from __future__ import annotations

import django
from django.apps import apps

__all__ = ()

if not (apps.ready or apps.loading):
    django.setup()
