"""The dashboard's pages.

In: a request and a viewer. Out: HTML. Figures come from ``stats``, ready to be shown from the modules here.
"""
