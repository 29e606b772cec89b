"""`python -m ganeti_kernel.daemons.watcher`."""

from __future__ import annotations

import sys

from ganeti_kernel.daemons.watcher import main

if __name__ == "__main__":
    sys.exit(main())
