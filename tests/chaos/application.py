"""What servers serve: Django's own applications, without a lifespan, and ours."""

from __future__ import annotations

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

from django_partstream.asgi import get_application

asgi = get_asgi_application()
wsgi = get_wsgi_application()
whole = get_application()
