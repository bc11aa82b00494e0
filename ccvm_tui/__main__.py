"""The entry point of ``python -m ccvm_tui``."""

import sys

from ccvm_tui.cli import main

sys.exit(main())
