"""Jobs and workers in Django's admin: to be looked at, cancelled and deleted."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext, gettext_noop, ngettext
from django.utils.translation import gettext_lazy as _

from .errors import BusyError, PartstreamError
from .jobs import heartbeat, states
from .jobs.failed_rows import FailedRows
from .jobs.progress import percentage
from .models import Job, JobBatch, JobInput, State, Worker
from .retries import retry

if TYPE_CHECKING:
    from uuid import UUID

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
    from django.utils.safestring import SafeString

__all__ = ("ERRORS_PER_PAGE", "JobAdmin", "WorkerAdmin")

ERRORS_PER_PAGE = 100

#: Large, or of no use to look at.
LEFT = ("spec", "cursor", "sample", "idempotency_key", "request_sha256")


#: What to say of jobs that are to be cancelled, by what became of that.
CANCELS = {
    State.CANCELLED.value: (
        messages.SUCCESS,
        gettext_noop("%(count)d job is cancelled."),
        gettext_noop("%(count)d jobs are cancelled."),
    ),
    State.CANCELLING.value: (
        messages.SUCCESS,
        gettext_noop("%(count)d job stops after the batch in hand."),
        gettext_noop("%(count)d jobs stop after the batch in hand."),
    ),
    "ended": (
        messages.WARNING,
        gettext_noop("%(count)d job had ended already."),
        gettext_noop("%(count)d jobs had ended already."),
    ),
    "busy": (
        messages.ERROR,
        gettext_noop("%(count)d job cannot be cancelled now. Try again."),
        gettext_noop("%(count)d jobs cannot be cancelled now. Try again."),
    ),
}


def _cancel(job_id: UUID) -> str:
    """What became of it: a key of `CANCELS`."""
    try:
        state = states.cancel(job_id)
    except BusyError:
        return "busy"

    return "ended" if state is None else state.value


class _ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]
    """What is seen here is written by the package alone."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Job)
class JobAdmin(_ReadOnly):
    """Whoever may change jobs may cancel them; whoever may delete them, delete."""

    list_display = (
        "id",
        "kind",
        "owner",
        "state",
        "progress",
        "failed",
        "worker",
        "created_at",
    )
    list_filter = ("state", "kind", "created_at")
    list_per_page = 50
    show_full_result_count = False
    actions = ("cancel_jobs", "retry_jobs")
    fieldsets = (
        (None, {"fields": ("id", "kind", "owner", "state", "message", "progress")}),
        (
            _("rows"),
            {
                "fields": (
                    *("total", "current", "created", "updated", "unchanged"),
                    *("deleted", "failed", "errors"),
                )
            },
        ),
        (
            _("work"),
            {
                "fields": (
                    *("worker", "lease_until", "attempts", "epoch", "batches"),
                    *("dispatches", "dispatched_at", "not_before", "rows_per_second"),
                )
            },
        ),
        (_("input"), {"fields": ("input_bytes", "input_sha256", "retried")}),
        (_("time"), {"fields": ("created_at", "started_at", "finished_at")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        jobs = states.jobs().select_related("owner").defer(*LEFT)

        return jobs.order_by("-created_at")

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return ("=id", f"owner__{get_user_model().USERNAME_FIELD}", "message")

    def get_urls(self) -> list[URLPattern]:
        errors = path(
            "<uuid:job_id>/errors/",
            self.admin_site.admin_view(self.errors_view),
            name="partstream_job_errors",
        )

        return [errors, *super().get_urls()]

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Asked for the actions."""
        return super(_ReadOnly, self).has_change_permission(request)

    @admin.action(description=_("Cancel selected jobs"), permissions=["operate"])
    def cancel_jobs(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        became = Counter(map(_cancel, queryset.values_list("pk", flat=True)))

        for state, count in became.items():
            level, one, many = CANCELS[state]
            text = ngettext(one, many, count) % {"count": count}
            self.message_user(request, text, level)

    @admin.action(
        description=_("Run the failed rows of selected jobs again"),
        permissions=["operate"],
    )
    def retry_jobs(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        for job_id in queryset.values_list("pk", flat=True):
            if states.accept(job_id):
                text = gettext("%(job)s goes on under the code that there is now.")
                self.message_user(request, text % {"job": job_id}, messages.SUCCESS)
                continue

            try:
                # With what its input is; one job at a time.
                new = retry(states.jobs().get(pk=job_id))
            except PartstreamError as error:
                self.message_user(request, f"{job_id}: {error.detail}", messages.ERROR)
            else:
                text = ngettext(
                    "%(count)d row runs again as %(job)s.",
                    "%(count)d rows run again as %(job)s.",
                    new.total,
                )
                told = text % {"count": new.total, "job": new.pk}
                self.message_user(request, told, messages.SUCCESS)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Counts: Django's own would read the whole input of every job."""
        chosen = [job.pk for job in objs]
        alias = states.jobs().db
        counts = {str(Job._meta.verbose_name_plural): len(chosen)}

        for model, text in (
            (JobInput, _("pieces of input")),
            (JobBatch, _("batches in the ledger")),
        ):
            rows = model._default_manager.using(alias)
            counts[str(text)] = rows.filter(job_id__in=chosen).count()

        missing = (
            set()
            if self.has_delete_permission(request)
            else {str(Job._meta.verbose_name)}
        )

        return [str(job) for job in objs], counts, missing, []

    @admin.display(description=_("progress"), ordering="current")
    def progress(self, job: Job) -> SafeString:
        return format_html(
            '<progress max="100" value="{0}">{0} %</progress> {1} / {2}',
            percentage(job),
            job.current,
            job.total,
        )

    @admin.display(description=_("rows per second"))
    def rows_per_second(self, job: Job) -> str:
        return "" if job.rate is None else f"{job.rate:.0f}"

    @admin.display(description=_("errors"))
    def errors(self, job: Job) -> SafeString | str:
        if not job.failed:
            return ""

        address = reverse(
            f"{self.admin_site.name}:partstream_job_errors", args=[job.pk]
        )

        return format_html('<a href="{}">{}</a>', address, _("the failed rows"))

    @admin.display(description=_("retries"))
    def retried(self, job: Job) -> SafeString | str:
        if job.retry_of_id is None:
            return ""

        address = reverse(
            f"{self.admin_site.name}:partstream_job_change", args=[job.retry_of_id]
        )

        return format_html('<a href="{}">{}</a>', address, job.retry_of_id)

    def errors_view(self, request: HttpRequest, job_id: UUID) -> HttpResponse:
        """The failed rows, a page at a time."""
        if not self.has_view_permission(request):
            raise PermissionDenied

        job = self.get_queryset(request).filter(pk=job_id).first()

        if job is None:
            raise Http404

        paginator: Any = Paginator(
            FailedRows(job.pk, job.failed),  # type: ignore[arg-type]
            ERRORS_PER_PAGE,
        )
        page = paginator.get_page(request.GET.get("p"))
        context = {
            **self.admin_site.each_context(request),
            "title": _("Failed rows"),
            "opts": self.opts,
            "job": job,
            "page": page,
            "rows": page.object_list,
        }

        return TemplateResponse(request, "admin/partstream/job/errors.html", context)


@admin.register(Worker)
class WorkerAdmin(_ReadOnly):
    """Who works on jobs, and who did lately."""

    list_display = ("name", "queue", "is_alive", "started_at", "seen_at", "counted")
    list_filter = ("queue",)
    fields = ("name", "queue", "started_at", "seen_at", "counted")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        return heartbeat.workers().annotate(alive=heartbeat.was_heard_of())

    @admin.display(description=_("alive"), boolean=True)
    def is_alive(self, worker: Worker) -> bool:
        alive: bool = worker.alive  # type: ignore[attr-defined]

        return alive

    @admin.display(description=_("counted"))
    def counted(self, worker: Worker) -> str:
        return ", ".join(
            f"{number} {name.replace('_', ' ')}"
            for name, number in worker.counts.items()
            if number
        )
