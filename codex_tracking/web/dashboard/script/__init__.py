"""Cards of the browser script's reports.

In: figures of the stats. Out: facts and cells, formatted for the templates.
"""
