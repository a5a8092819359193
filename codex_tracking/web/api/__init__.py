"""The JSON API, exports, the public counter and the live socket.

In: a request with a token, a session or a share link. Out: JSON, CSV, SVG.
"""
