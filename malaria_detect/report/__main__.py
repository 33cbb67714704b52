"""Lets ``python -m malaria_detect.report`` run."""

import sys

from malaria_detect.report.write import main

if __name__ == "__main__":
    sys.exit(main())
