"""HTTP: the dashboard, the API, and access to both.

In: requests. Out: HTML, JSON, files and websocket messages, made of figures from ``stats``.
"""
