"""Lets ``python -m tools.model_card`` run."""

import sys

from tools.model_card.write import main

if __name__ == "__main__":
    sys.exit(main())
