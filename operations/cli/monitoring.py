"""Write the rules for Prometheus and the dashboard for Grafana into deploy/: `make contract`."""

import sys
from pathlib import Path

from operations.adapters.monitoring import documents


def write(folder: Path) -> None:
    """Write every file."""
    for name, text in documents().items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
