"""HEALTHCHECK of the image: ends with 0 while /ping is green."""

import os
import sys
import urllib.error
import urllib.request

try:
    port = os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2):
        sys.exit(0)
except (urllib.error.URLError, OSError) as error:
    sys.exit(f"/ping is not green: {error}")
