"""The names that servers and log shippers give the fields of a JSON line."""

from __future__ import annotations

from typing import Literal, get_args

Meaning = Literal[
    "time",
    "address",
    "request",
    "method",
    "target",
    "query",
    "status",
    "referrer",
    "agent",
    "host",
    "content_type",
    "forwarded",
    "language",
]
"""Meanings of a line's fields."""
MEANINGS: tuple[Meaning, ...] = get_args(Meaning)

NAMES: dict[Meaning, str] = {
    # A dot leads into a nested object; names match in any case, and with - or _. The first that has a value counts.
    "time": "time_iso8601 StartUTC start_time EdgeStartTimestamp msec time_local @timestamp timestamp date time"
    " datetime ts EventTime requestTimestamp httpRequest.timestamp event.created"
    " requestTime requestTimeEpoch",
    "address": "remote_addr client_ip remote_ip ClientIP clientip ClientHost request.client_ip request.remote_ip"
    " httpRequest.remoteIp source.ip source.address client.ip client.address client remote ip c_ip clientAddress"
    " downstream_remote_address downstream_direct_remote_address remote_address remoteIP remoteAddr request.remote_addr"
    " nginx.access.remote_ip apache2.access.remote_ip network.client.ip nginx.remote_addr address remoteHost"
    " client_address src_ip net.peer.ip net.sock.peer.addr peer ClientAddr remote_host",
    "request": "request request_line requestLine http_request nginx.request",
    "method": "request_method method RequestMethod ClientRequestMethod http.request.method httpRequest.requestMethod"
    " request.method requestMethod http_method httpMethod http.method verb nginx.access.method apache2.access.method"
    " nginx.request_method cs_method",
    "target": "request_uri uri RequestPath ClientRequestURI request.uri requestUri httpRequest.requestUrl url.original"
    " x_envoy_path original_path http.url http.target request.url requestUrl request_path url path url.path uri_path"
    " ClientRequestPath http.request.uri nginx.access.url apache2.access.url nginx.request_uri request_url cs_uri_stem",
    "query": "args query_string query ClientRequestQuery url.query cs_uri_query query_params requestQuery",
    "status": "status status_code DownstreamStatus EdgeResponseStatus http.response.status_code httpRequest.status"
    " response_code code response responseCode response_status http_status statusCode http.status_code"
    " httpStatusCode httpStatus nginx.access.response_code apache2.access.response_code nginx.status OriginStatus"
    " sc_status",
    "referrer": "http_referer http_referrer referer referrer ClientRequestReferer request.headers.Referer"
    " request_Referer http.request.referrer httpRequest.referer http.referer request_referer headers.referer"
    " nginx.access.referrer apache2.access.referrer nginx.http_referer",
    "agent": "http_user_agent user_agent.original ClientRequestUserAgent request.headers.User-Agent request_User-Agent"
    " httpRequest.userAgent userAgent useragent agent user_agent http.useragent http.user_agent ua headers.user-agent"
    " nginx.access.user_agent.original nginx.access.agent apache2.access.agent user_agent.name nginx.http_user_agent",
    "host": "http_host RequestHost request.host ClientRequestHost authority url.domain vhost virtual_host"
    " request_Host :authority server_name host hostname x_host_header nginx.http_host http.host",
    "content_type": "sent_http_content_type content_type EdgeResponseContentType downstream_Content-Type"
    " resp_headers.Content-Type http.response.mime_type response_content_type contentType",
    "forwarded": "http_x_forwarded_for x_forwarded_for ClientXRequestedFor request.headers.X-Forwarded-For"
    " request_X-Forwarded-For xff forwarded_for headers.x-forwarded-for",
    "language": "http_accept_language accept_language request.headers.Accept-Language request_Accept-Language"
    " headers.accept-language",
}

# Docker's json-file has log, journald MESSAGE, Google Cloud textPayload, OpenTelemetry Body.
TEXT = ("log", "message", "msg", "MESSAGE", "event.original", "textPayload", "line", "Body", "body")
"""Fields in which a container's runtime or a shipper keeps the whole line of the web server."""

HEADERS = ("request.headers", "headers")
"""Objects of request headers, by their names."""
PREFIXES = ("http_", "request_", "req_header_")
"""Beginnings of a field's name before which a request header's name stands."""

# Filebeat and Logstash write the name of the machine that ran them there.
WEAK_HOST = ("host", "hostname", "server_name")
"""Names that shippers also give the machine, so that only what looks like a site's host is taken for it."""

NOT_TAKEN = frozenset(
    f"HTTP_{name}"
    for name in [
        "COOKIE",
        "AUTHORIZATION",
        "HOST",
        "USER_AGENT",
        "REFERER",
        "REFERRER",
        "ACCEPT_LANGUAGE",
        "X_FORWARDED_FOR",
    ]
)
"""Request headers that are not taken over: secrets, and those with a meaning of their own."""


def plain(name: str) -> str:
    """Return a field's name in the one spelling that all of its spellings share."""
    return name.lower().replace("-", "_")
