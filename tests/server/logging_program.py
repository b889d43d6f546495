"""A program for test_logs: logs the texts that it reads from stdin, as the server would.

python -m tests.server.logging_program FORMAT [WORKER]

Stdin holds a JSON list of texts. Each is logged as a message, as fields, as the text of an error, and as the path of
a request in the access log. Prints how many lines were dropped.
"""

from __future__ import annotations

import json
import logging
import sys

from onnxport.server import logs
from onnxport.server.logs import AccessLog, Answered


def tell(text: str, access_log: AccessLog) -> None:
    log = logging.getLogger("onnxport.test")
    log.warning("%s", text)
    log.info("fields", extra={"request_id": text, "client": text, "count": 3, text[:20] or "-": 1})
    try:
        raise ValueError(text)
    except ValueError:
        log.exception("an error")
    access_log.write([Answered(text, text, text, 200, 0.001, text, text)])


if __name__ == "__main__":
    worker = int(sys.argv[2]) if len(sys.argv) > 2 else None
    to = logs.configure("info", sys.argv[1], worker=worker)
    logs.catch_strays()
    for each in json.load(sys.stdin):
        tell(each, AccessLog(to))
    to.sink.flush(20.0)
    print(to.sink.dropped)
