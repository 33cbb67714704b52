"""``python -m malaria_detect`` is the command ``malaria-detect``."""

import sys

from malaria_detect.cli import main

sys.exit(main())
