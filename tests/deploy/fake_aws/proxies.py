"""nginx as Elastic Beanstalk's Docker platform configures it on its instances, on a port of loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.deploy.fake_aws import children

# As on Amazon Linux 2023, but for ports, paths and users.
_CONFIGURATION = """\
{user}error_log {folder}/error.log warn;
pid {folder}/nginx.pid;
worker_processes 1;
daemon off;
events {{ worker_connections 1024; }}
http {{
    default_type application/octet-stream;
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/conf.d/*.conf;
    map $http_upgrade $connection_upgrade {{ default "upgrade"; }}
    upstream docker {{
        server 127.0.0.1:{container};
        keepalive 256;
    }}
    server {{
        listen 127.0.0.1:{port} default_server;
        gzip on;
        gzip_comp_level 4;
        gzip_types text/plain text/css application/json application/javascript application/xml;
        location / {{
            proxy_pass http://docker;
            proxy_http_version 1.1;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Host $host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
    }}
}}
"""


class ConfigurationFault(Exception):
    """nginx refuses the bundle's snippets; the text is what it says."""


def free_port() -> int:
    """A port that was free just now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Proxy:
    """Runs from `start` to `stop`. container: the port that it asks."""

    def __init__(self, folder: Path, container: int, snippets: Mapping[str, str]) -> None:
        self.folder, self.port = folder, free_port()
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "conf.d").mkdir(parents=True, exist_ok=True)
        for name, text in snippets.items():
            (folder / "conf.d" / Path(name).name).write_text(text, "utf-8")
        user = "user root;\n" if os.getuid() == 0 else ""
        text = _CONFIGURATION.format(user=user, folder=folder, container=container, port=self.port)
        (folder / "nginx.conf").write_text(text, "utf-8")

    def start(self) -> None:
        """Raises ConfigurationFault."""
        tried = subprocess.run(
            [*self._command(), "-t"], capture_output=True, text=True, check=False, timeout=30
        )
        if tried.returncode != 0:
            raise ConfigurationFault(tried.stderr.strip().splitlines()[0])
        nowhere = subprocess.DEVNULL
        self._process = children.start(self._command(), stdout=nowhere, stderr=nowhere)

    def _command(self) -> list[str]:
        program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            raise FileNotFoundError("nginx is not installed: apt-get install nginx")
        place = str(self.folder)
        log = str(self.folder / "error.log")
        return [program, "-p", place, "-e", log, "-c", str(self.folder / "nginx.conf")]

    def stop(self) -> None:
        if self._process is not None:
            children.stop(self._process)
            self._process = None

    @property
    def log(self) -> str:
        path = self.folder / "error.log"
        return path.read_text("utf-8", "replace")[-4000:] if path.exists() else ""
