"""``python -m steploom``: the same as the command ``steploom``."""

from __future__ import annotations

from steploom.cli.app import main

if __name__ == "__main__":
    main()
