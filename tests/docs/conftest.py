"""The commands of the pages, and what they are tried with."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
