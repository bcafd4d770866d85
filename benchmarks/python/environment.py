"""Imports PyTorch, or ends the program with a message if the comparison cannot run with what is installed."""

import sys

VERSION = "2.13"
INSTALL = "install it in a virtual environment: pip install torch==2.13.0 (see benchmarks/python/README.md)"

if sys.version_info < (3, 10):
    sys.exit(f"Python is {sys.version.split()[0]}, expected 3.10 or newer")
try:
    import torch
except ImportError as error:
    sys.exit(f"PyTorch cannot be imported ({error}): {INSTALL}")
if not torch.__version__.startswith(VERSION + "."):
    sys.exit(f"PyTorch is {torch.__version__}, expected {VERSION}, the version that the Java side uses: {INSTALL}")
