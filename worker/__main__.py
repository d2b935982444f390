"""``python -m worker``: fix the numeric libraries' threads before anything imports them."""

import os
import sys

# One BLAS thread is what makes bits repeat, and pools that exist before a fork do not survive it.
os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

from worker.main import main

sys.exit(main())
