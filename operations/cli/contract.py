"""Write the generated documents of the event contract into docs/: `make contract`."""

import sys
from pathlib import Path

from operations.events.contract import documents


def write(folder: Path) -> int:
    """Write every document and remove schemas that no event has; return how many there are."""
    made = documents()
    (folder / "schemas").mkdir(parents=True, exist_ok=True)
    for file in (folder / "schemas").glob("*.json"):
        if f"schemas/{file.name}" not in made:
            file.unlink()
    for name, text in made.items():
        (folder / name).write_text(text)
    return len(made)


if __name__ == "__main__":
    print(f"{write(Path(sys.argv[1]))} documents in {sys.argv[1]}")
