"""nginx as a shared cache in front of the test site."""

from __future__ import annotations

import os

from tests.servers.binaries import binary
from tests.servers.process import ServerProcess

CONFIG = """
daemon off;
worker_processes 1;
{user}
error_log stderr;
pid {folder}/pid;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  proxy_cache_path {folder}/cache keys_zone=pages:1m;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{behind};
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_cache pages;
      # Of browsers' caches nothing is asked, so that each page comes from here.
      proxy_ignore_headers Cache-Control;
      proxy_cache_valid 200 1m;
      proxy_hide_header Cache-Control;
      add_header Cache-Control no-store;
    }}
  }}
}}
"""


class NginxServer(ServerProcess):
    """One nginx that keeps each answer for a minute, and gives it to everybody.

    Args:
        behind: the port of the site.
    """

    name = "nginx"

    def __init__(self, behind: int) -> None:
        super().__init__()
        self.behind = behind

    @property
    def url(self) -> str:
        """``http://127.0.0.1:port``."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """Write the configuration, and return nginx with it."""
        file = self.folder / "nginx.conf"
        # Root's own folder is closed to the account that nginx would take for its worker.
        user = "user root;" if os.geteuid() == 0 else ""
        file.write_text(CONFIG.format(folder=self.folder, port=self.port, behind=self.behind, user=user))
        return [binary("nginx"), "-e", "stderr", "-p", str(self.folder), "-c", str(file)]
