"""System checks: configuration that cannot work, said before it is needed.

What each of them says, and when: `docs/checks.md`. Importing this registers them.
"""

from __future__ import annotations

from django.core.checks import Tags, register

from . import bulk, databases, older, serving, settings, storage, urls

__all__ = ("CHECKS",)

#: Those that `manage.py check` runs.
CHECKS = (
    settings.check_settings,
    settings.check_connection_setup,
    storage.check_input_storage,
    settings.check_channel_layer,
    older.check_older_settings,
    urls.check_job_addresses,
    serving.check_sync_middleware,
    serving.check_compressing_middleware,
    bulk.check_modes,
    databases.check_atomic_requests,
    databases.check_persistent_connections,
    databases.check_connection_pool,
    databases.check_sqlite_transactions,
)
#: Those that ask the databases: `manage.py check --database default`, and `migrate`.
DATABASE_CHECKS = (
    databases.check_sqlite_journal,
    databases.check_max_connections,
)

for check in CHECKS:
    register(check, "partstream")

for check in DATABASE_CHECKS:
    register(check, "partstream", Tags.database)
