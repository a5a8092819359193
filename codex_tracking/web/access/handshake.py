"""Checks of a websocket handshake: origin and session."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model, load_backend
from django.http.request import split_domain_port, validate_host
from django.utils.crypto import constant_time_compare
from django.utils.http import is_same_domain

from codex_tracking.web.access.viewer import may_see

ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\\\s]+", re.ASCII | re.IGNORECASE)
"""An origin: scheme, host and port, without user, path or query. Source: RFC 6454, section 6.2."""


def allowed_user(session_key: str) -> str:
    """Return the primary key, as text, of a session's user; empty without access. Blocking.

    Unlike ``django.contrib.auth.get_user`` it only reads the session, and never renews or flushes it: an open socket
    cannot send the browser a new session cookie.
    """
    session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    key, backend = session.get(SESSION_KEY), session.get(BACKEND_SESSION_KEY)
    # As in Django: a backend that the project has removed lets nobody in any more.
    if key is None or backend not in settings.AUTHENTICATION_BACKENDS:
        return ""
    user = load_backend(backend).get_user(get_user_model()._meta.pk.to_python(key))
    if user is None or not _password_unchanged(user, session.get(HASH_SESSION_KEY) or "") or not may_see(user):
        return ""
    return str(user.pk)


def _password_unchanged(user: Any, noted: str) -> bool:
    # A user model need not derive from AbstractBaseUser; Django skips the check then, too.
    if not hasattr(user, "get_session_auth_hash"):
        return True
    # With SECRET_KEY_FALLBACKS, sessions from before the key changed are still good.
    known = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return any(constant_time_compare(noted, one) for one in known)


def same_site(headers: Mapping[str, str], secure: bool = False) -> bool:
    """Say whether a handshake's origin is its own host, or in ``CSRF_TRUSTED_ORIGINS``.

    Browsers send cookies with websockets from any site, and ``ALLOWED_HOSTS`` may be ``["*"]``: only this check keeps
    other sites from reading a user's figures.

    Args:
        headers: of the handshake, names in lower case.
        secure: whether the server received it over TLS.

    Source: RFC 6455, section 10.2.
    """
    origin = headers.get("origin", "")
    # A path could end like a trusted domain: https://evil.example/.trusted.example
    if not ORIGIN.fullmatch(origin):
        return False
    host = headers.get("host", "")
    if settings.USE_X_FORWARDED_HOST and "x-forwarded-host" in headers:
        host = headers["x-forwarded-host"]
    # The hosts that Django serves with DEBUG on; see HttpRequest.get_host.
    allowed = settings.ALLOWED_HOSTS or ([".localhost", "127.0.0.1", "[::1]"] if settings.DEBUG else [])
    domain, _ = split_domain_port(host)
    if not domain or not validate_host(domain, allowed):
        return False
    if any(_is_trusted(origin, trusted) for trusted in settings.CSRF_TRUSTED_ORIGINS):
        return True
    try:
        here, there = urlsplit(f"//{host}"), urlsplit(origin)
        # An origin leaves out the port of its scheme (RFC 6454, section 6.2), a Host header may name it.
        default = {"http": 80, "https": 443}[there.scheme]
        # A page without TLS may have been changed on its way.
        if there.scheme == "http" and (secure or settings.SESSION_COOKIE_SECURE):
            return False
        return here.hostname == there.hostname and (here.port or default) == (there.port or default)
    except (ValueError, KeyError):
        return False


def _is_trusted(origin: str, trusted: str) -> bool:
    scheme, _, domain = trusted.partition("://")
    if not domain.startswith("*."):
        return origin == trusted
    origin_scheme, _, host = origin.partition("://")
    return origin_scheme == scheme and is_same_domain(host, domain[1:])
