"""One request's facts: whether it is a page view, and of which page, visitor, source, device, language and country.

In: Django's request and response, or a line of an access log. Out: a ``Hit``, and functions that work a fact out of
one. No Redis, no SQL, no asyncio.
"""
