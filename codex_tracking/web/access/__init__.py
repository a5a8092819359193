"""Access to the figures.

In: a request's session, token or share link. Out: a viewer, or None.
"""
