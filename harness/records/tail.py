"""What was appended to a trial's events since the last look, for whoever reads them while they are written."""

from __future__ import annotations

from pathlib import Path

from harness.worker import contract


class Tail:
    """Reads each file of the folder on from where it stopped; an event that is not whole yet is read at a later look."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._offsets: dict[Path, int] = {}

    def new(self) -> list[contract.Event]:
        """What was appended since the last call, in no order."""
        events: list[contract.Event] = []
        for path in sorted(self.directory.glob(contract.FILE_NAME.format(pid="*"))):
            offset = self._offsets.get(path, 0)
            with open(path, "rb") as file:
                file.seek(offset)
                data = file.read()
            appended = contract.unpack(data, int(path.stem))
            self._offsets[path] = offset + len(appended) * contract.EVENT_SIZE
            events += appended
        return events
