"""``python -m yanmo`` is the ``yanmo`` command."""

import sys

from yanmo.cli import main

sys.exit(main())
