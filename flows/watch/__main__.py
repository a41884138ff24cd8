"""`python -m flows.watch`."""

import sys

from flows.watch import main

sys.exit(main())
