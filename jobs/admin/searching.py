"""How staff search: in the language of all other searches, as far as those reach, and by the id of a job."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from jobs import search
from jobs.stretches import line_of, read

_MOST = 1000  # jobs of one search


def find(request: HttpRequest, jobs: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Those of the jobs that a search finds in one stretch; says to the person how far that is, and what is wrong."""
    try:
        terms = search.terms(text)
        with search.bounded():
            found = read(line_of(terms), jobs.filter(search.condition(terms)), _MOST)
    except search.SearchError as error:
        messages.error(request, str(error))
        return jobs.none()
    if found.older:
        address = f"{reverse('dashboard:jobs')}?{urlencode({'q': text, 'before': found.older})}"
        told = found.told or f"These are the newest {_MOST:,}."
        messages.info(request, format_html('{} <a href="{}">Search further back</a>', told, address))
    return jobs.filter(pk__in=found.ids)


def of_job(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Those whose `job` has this id. As a value and not as text, so that an index finds it."""
    try:
        return rows.filter(job_id=uuid.UUID(text.strip()))
    except ValueError:
        return rows.none()
