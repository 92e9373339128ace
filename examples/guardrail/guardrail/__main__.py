"""Run the service: `python -m guardrail CONFIG.toml [PORT]`."""

import logging
import sys
from pathlib import Path

import uvicorn

from guardrail.web import create_app

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
port = int(sys.argv[2]) if sys.argv[2:] else 8000
uvicorn.run(create_app(Path(sys.argv[1])), port=port, log_level="warning")
