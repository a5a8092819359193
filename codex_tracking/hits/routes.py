"""The route of a path, for answers that came before Django looked for it, and for lines of access logs."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.urls import LocalePrefixPattern, ResolverMatch, URLResolver, get_resolver, get_script_prefix
from django.urls.converters import get_converters
from django.utils.functional import Promise
from django.utils.translation import get_language_from_path, override

from codex_tracking.hits.text import hide_tokens

LONGEST_LOOKED_UP = 2_048
"""Characters of a path above which no route is looked for: it is stored as ``(long)`` anyway."""
MOST_KEPT, LONGEST_KEPT = 8_192, 250
"""Paths, and their characters, whose route is remembered."""


def route_of(path_info: str, urlconf: Any, secret_names: frozenset[str]) -> ResolverMatch | None:
    """Return the match of a path as Django would find it; None for a path without a route.

    Args:
        path_info: below ``FORCE_SCRIPT_NAME``, as ``request.path_info``.
        urlconf: ``request.urlconf``, for sites that set it per request; ``ROOT_URLCONF`` when None.
        secret_names: URL arguments whose paths are not kept in memory.

    A language in front of the path is the one to look under, as ``LocaleMiddleware`` does. Routes that are translated
    are looked for under each language, since a cookie or a header may have chosen it.
    """
    if len(path_info) > LONGEST_LOOKED_UP:
        return None
    key = (path_info, urlconf if isinstance(urlconf, str) else id(urlconf), settings.ROOT_URLCONF)
    if key in _known:
        return _known[key]
    match = _route_of(path_info, urlconf)
    if len(path_info) <= LONGEST_KEPT and hide_tokens(path_info) == path_info:
        if len(_known) >= MOST_KEPT:
            _known.clear()
        if match is not None:
            # The patterns that did not match, some 25 kB on a site with 300 of them.
            match.tried = None
        # A path with a secret must not stay in memory as a key.
        if match is None or secret_names.isdisjoint(match.kwargs):
            _known[key] = match
    return match


def _route_of(path_info: str, urlconf: Any) -> ResolverMatch | None:
    try:
        translated, prefixed = _languages_in(urlconf or settings.ROOT_URLCONF)
        # On most sites the language decides nothing, and takes as long to find and to change as the route.
        if not (translated or prefixed):
            return get_resolver(urlconf).resolve(path_info)
        chosen = get_language_from_path(path_info)
        languages = [chosen or settings.LANGUAGE_CODE]
        if settings.USE_I18N and not chosen and translated:
            languages += [code for code, _ in settings.LANGUAGES if code != settings.LANGUAGE_CODE]
    except Exception:
        return None
    for language in languages:
        try:
            # Translated routes and language prefixes match under the active language alone.
            with override(language):
                return get_resolver(urlconf).resolve(path_info)
        except Exception:
            continue
    return None


_known: dict[tuple[Any, ...], ResolverMatch | None] = {}


@lru_cache(maxsize=64)
def _languages_in(urlconf: Any) -> tuple[bool, bool]:
    """Return whether any route is a translated text, and whether any begins with the language."""
    waiting: list[Any] = [get_resolver(urlconf)]
    translated = prefixed = False
    while waiting:
        found = waiting.pop()
        pattern = found.pattern
        translated |= isinstance(getattr(pattern, "_route", getattr(pattern, "_regex", "")), Promise)
        prefixed |= isinstance(pattern, LocalePrefixPattern)
        if isinstance(found, URLResolver):
            waiting += found.url_patterns
    return translated, prefixed


CONVERTER = re.compile(r"<(\w+):")
REST = re.compile(
    # A dot, or a class with a slash, any number of times.
    r"(?<!\\)(?:\.|\\S|\[(?!\^)[^\]]*/[^\]]*\]|\[\^[^\]/]*\])[*+{]"
    # Parts with a slash, any number of times, as in Wagtail's ((?:[\w\-]+/)*).
    r"|/\)[*+{]|\(\?:/[^()]*\)[*+{]"
)
"""Patterns that match slashes too."""


@lru_cache(maxsize=4096)
def takes_anything(route: str) -> bool:
    """Whether an argument of a route is any rest of a path, so that the route does not name the secrets in it."""
    converters = get_converters()
    names = CONVERTER.findall(route)
    return bool(REST.search(route)) or any(
        re.fullmatch(converters[name].regex, "a/b") for name in names if name in converters
    )


def script_name() -> str:
    """Return ``FORCE_SCRIPT_NAME``, or else the prefix that the server has set, without a slash at its end."""
    return (settings.FORCE_SCRIPT_NAME or get_script_prefix()).rstrip("/")


def below_script_name(path: str, prefix: str | None = None) -> str:
    """Return the ``path_info`` of a whole path: the part after a prefix, which is ``script_name()`` when omitted."""
    prefix = script_name() if prefix is None else prefix
    if prefix and (path + "/").startswith(prefix + "/"):
        return path[len(prefix) :] or "/"
    return path
