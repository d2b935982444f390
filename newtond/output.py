"""What a server says to its operator, on a stream that may lie on the disk that is full."""

from dataclasses import dataclass
from typing import TextIO

from newtond.store.files import FULL


@dataclass(frozen=True)
class Output:
    """Writes to ``stream``; raises OSError, but not for want of room: a server outlives what its log cannot hold.

    The stream's own buffer may keep some kilobytes until there is room again; what it cannot keep is lost.
    """

    stream: TextIO

    def write(self, text: str) -> None:
        """Write and flush."""
        try:
            self.stream.write(text)
            self.stream.flush()
        except OSError as error:
            if error.errno not in FULL:
                raise

    def flush(self) -> None:
        """Do nothing: every write has flushed."""

    def say(self, line: str) -> None:
        """Write one line."""
        self.write(f"{line}\n")
