"""The pages of Larkspur: ordinary async views, two of which count an event; the tracking needs no other line."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from codex_tracking.events import atrack
from codex_tracking.selector import TrackingSelector
from larkspur.content import ARTICLES, DOCS, SECTIONS, find

POPULAR = 3
"""Articles on the front page's list."""


async def page(request: HttpRequest, template: str, context: dict[str, Any] | None = None) -> HttpResponse:
    """Answer a page that greets its visitor by name."""
    shared = {"sections": SECTIONS, "visitor": await request.auser()}
    return render(request, f"larkspur/{template}.html", shared | (context or {}))


async def home(request: HttpRequest) -> HttpResponse:
    """Answer the front page, with what was read most today."""
    titles = {article.url: article for article in ARTICLES}
    rows = await TrackingSelector.top_pages(limit=30)
    popular = [titles[row["path"]] for row in rows if row["path"] in titles][:POPULAR]
    return await page(request, "home", {"articles": ARTICLES[:4], "popular": popular})


async def articles(request: HttpRequest) -> HttpResponse:
    """Answer the list of all articles."""
    return await page(request, "articles", {"title": "Articles", "articles": ARTICLES})


async def article(request: HttpRequest, slug: str) -> HttpResponse:
    """Answer one article."""
    found = find(ARTICLES, slug)
    if found is None:
        raise Http404("There is no such article.")
    others = [other for other in ARTICLES if other.section == found.section and other != found]
    return await page(request, "article", {"article": found, "others": others})


async def section(request: HttpRequest, slug: str) -> HttpResponse:
    """Answer the articles of one section."""
    found = find(SECTIONS, slug)
    if found is None:
        raise Http404("There is no such section.")
    chosen = [article for article in ARTICLES if article.section == slug]
    return await page(request, "articles", {"title": found.title, "intro": found.summary, "articles": chosen})


async def docs(request: HttpRequest) -> HttpResponse:
    """Answer the handbook's contents."""
    return await page(request, "docs", {"docs": DOCS})


async def docs_page(request: HttpRequest, slug: str) -> HttpResponse:
    """Answer one page of the handbook."""
    found = find(DOCS, slug)
    if found is None:
        raise Http404("There is no such page.")
    return await page(request, "docs_page", {"docs": DOCS, "current": found})


async def pricing(request: HttpRequest) -> HttpResponse:
    """Answer what Larkspur costs."""
    return await page(request, "pricing")


async def about(request: HttpRequest) -> HttpResponse:
    """Answer who is behind it."""
    return await page(request, "about")


async def search(request: HttpRequest) -> HttpResponse:
    """Answer what matches ``?q=``: the whole page, or the results alone when a script asks while somebody types."""
    query = request.GET.get("q", "").strip()[:80]
    words = query.lower()
    found = [item for item in (*ARTICLES, *DOCS) if words and words in f"{item.title} {item.summary}".lower()]
    context = {"query": query, "results": found}
    if request.headers.get("X-Requested-With") == "XMLHttpRequest":
        return render(request, "larkspur/results.html", context)
    if words:
        # Whether, not what: each distinct value is a row, and words may be private.
        await atrack("search", request, value="found" if found else "nothing found")
    return await page(request, "search", context)


async def contact(request: HttpRequest) -> HttpResponse:
    """Answer the contact form; the demo throws messages away."""
    if request.method == "POST":
        await atrack("message", request)
        return redirect("thanks")
    return await page(request, "contact")


async def thanks(request: HttpRequest) -> HttpResponse:
    """Answer after a message was sent."""
    return await page(request, "thanks")


async def account(request: HttpRequest) -> HttpResponse:
    """Answer the page of a logged-in reader."""
    if (await request.auser()).is_anonymous:
        return redirect_to_login(request.path)
    return await page(request, "account")
