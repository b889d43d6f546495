"""`python -m tests.deploy.fake_aws FOLDER [PORT [RATE [live]]]`: the fake as a process of its own, for the tests."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.deploy.fake_aws.serving import RATE, main

if __name__ == "__main__":
    given = sys.argv[1:]
    main(
        int(given[1]) if len(given) > 1 else 0,
        Path(given[0]),
        float(given[2]) if len(given) > 2 else RATE,
        lambda text: print(text, flush=True),
        live=given[3:] == ["live"],
    )
