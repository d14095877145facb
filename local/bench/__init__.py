"""`make bench`: the system beside its floor on the same machine in the same minute, as ratios with bounds."""

import os

# As in main.py; grpc reads it when it is first imported, which the modules here do.
os.environ.setdefault("GRPC_SINGLE_THREADED_UNARY_STREAM", "1")
