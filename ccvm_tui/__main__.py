"""``python -m ccvm_tui`` is the command line."""

import sys

from ccvm_tui.cli import main

sys.exit(main())
