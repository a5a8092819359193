"""The dashboard's pages.

In: a request and a viewer. Out: HTML. ``stats`` returns the figures; the modules here format them.
"""
