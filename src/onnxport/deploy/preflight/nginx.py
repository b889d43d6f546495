"""Asks nginx itself whether it takes snippets, inside a configuration as Elastic Beanstalk's on Amazon Linux 2023."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from onnxport.errors import shorten

_SECONDS = 30
_MAIN = """\
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 64; }}
http {{
    server_tokens off;
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/conf.d/*.conf;
    map $http_upgrade $connection_upgrade {{ default "upgrade"; }}
    upstream docker {{ server 127.0.0.1:8080; keepalive 256; }}
    server {{
        listen unix:{folder}/s;
        gzip on;
        location / {{
            proxy_pass http://docker;
            proxy_http_version 1.1;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header Upgrade $http_upgrade;
        }}
    }}
}}
"""


def find_nginx() -> str | None:
    """Where nginx is, or None; `sbin` isn't on everybody's path."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def refusal(program: str, snippets: Mapping[str, bytes]) -> str:
    """What nginx says against the snippets, or "". snippets: by the file's name in `conf.d`."""
    with tempfile.TemporaryDirectory(prefix="onnxport-nginx-") as name:
        folder = Path(name)
        (folder / "conf.d").mkdir()
        for file, content in snippets.items():
            (folder / "conf.d" / Path(file).name).write_bytes(content)
        main = folder / "nginx.conf"
        main.write_text(_MAIN.format(folder=folder), "utf-8")
        done = subprocess.run(
            [program, "-t", "-q", "-p", name, "-e", "stderr", "-c", str(main)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=_SECONDS,
        )
    if done.returncode == 0:
        return ""
    said = [line for line in done.stderr.splitlines() if "[emerg]" in line] or [done.stderr]
    return shorten(said[0].rpartition("[emerg] ")[2].replace(f"{name}/", ""), 300)
