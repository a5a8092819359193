"""Cards of what the browser script reports.

In: figures of the stats. Out: facts and cells, formatted for the templates.
"""
